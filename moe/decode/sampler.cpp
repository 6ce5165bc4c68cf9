#include "moe/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/runtime/random.h"

namespace switchyard::moe {

std::int32_t sample_token(ConstTensorView logits, const SamplerOptions& options, std::uint64_t position) {
  const std::int64_t V = logits.dim(0);
  const auto* values = logits.data<float>();
  std::vector<std::int32_t> order(static_cast<std::size_t>(V));
  std::iota(order.begin(), order.end(), 0);
  // NaN counts as least likely, so that the order stays one; ids break ties.
  const auto key = [&](std::int32_t id) { return std::isnan(values[id]) ? -HUGE_VALF : values[id]; };
  std::sort(order.begin(), order.end(),
            [&](std::int32_t a, std::int32_t b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  if (options.temperature <= 0) return order[0];

  const std::int64_t kept = options.top_k > 0 ? std::min(options.top_k, V) : V;
  std::vector<double> probability(static_cast<std::size_t>(kept));
  double total = 0;
  for (std::size_t i = 0; i < probability.size(); ++i) {
    const double difference = static_cast<double>(key(order[i])) - static_cast<double>(key(order[0]));
    probability[i] = std::exp(difference / options.temperature);
    total += probability[i];
  }
  double reached = 0;
  std::size_t candidates = 0;
  while (candidates < probability.size() && (candidates == 0 || reached < options.top_p * total))
    reached += probability[candidates++];
  const double target = kernels::RandomStream(options.seed, "sample").uniform(position) * reached;
  double sum = 0;
  for (std::size_t i = 0; i < candidates; ++i) {
    sum += probability[i];
    if (target < sum) return order[i];
  }
  return order[candidates - 1];
}

}  // namespace switchyard::moe
