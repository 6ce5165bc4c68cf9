#include "app/train/evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace switchyard::app {

moe::UnitInput unit_input(const data::Batch& batch, std::int64_t B, std::int64_t T) {
  return {{batch.inputs.data(), DType::i32, {B, T}}, {batch.targets.data(), DType::i32, {B, T}}};
}

namespace {

// Sequences [first, first + count) of the split, in its own order.
data::Batch windows(const data::TokenDataset& dataset, std::int64_t first, std::int64_t count,
                    std::int64_t T) {
  data::Batch batch;
  batch.inputs.resize(static_cast<std::size_t>(count * T));
  batch.targets.resize(static_cast<std::size_t>(count * T));
  for (std::int64_t b = 0; b < count; ++b)
    dataset.window(static_cast<std::uint64_t>(first + b), T, batch.inputs.data() + b * T,
                   batch.targets.data() + b * T);
  return batch;
}

// Sums of unit losses as multiples of 2^-24 nats: with at most 2^38 tokens the sum keeps to 63 bits.
constexpr double kLossUnit = 0x1p-24;

}  // namespace

EvaluationRecord evaluate_split(kernels::Context& context, moe::Model& model, parallel::Communicator& world,
                                const data::TokenDataset& dataset, const StepShape& shape,
                                std::int64_t units) {
  const auto start = std::chrono::steady_clock::now();
  const auto available = static_cast<std::int64_t>(dataset.num_windows(shape.T));
  const std::int64_t sequences = units == 0 ? available : std::min(available, units * shape.B);
  std::int64_t sums[2] = {0, 0};  // loss times tokens, tokens
  bool finite = true;
  const std::int64_t stride = shape.B * world.size();
  for (std::int64_t round = 0; round < sequences; round += stride) {
    const std::int64_t first = round + shape.B * world.rank();
    const std::int64_t count = std::clamp<std::int64_t>(sequences - first, 0, shape.B);
    const data::Batch batch = windows(dataset, count > 0 ? first : 0, count, shape.T);
    const moe::UnitResult result = model.evaluate_unit(context, unit_input(batch, count, shape.T));
    const double total = result.loss * static_cast<double>(count * shape.T);
    finite = finite && std::abs(total) < 0x1p38;
    if (finite) sums[0] += std::llrint(total / kLossUnit);
    sums[1] += count * shape.T;
  }
  const bool failed = world.all_reduce_or(!finite);
  world.all_reduce_sum(sums);
  EvaluationRecord record;
  record.tokens = sums[1];
  record.loss =
      failed ? std::nan("") : static_cast<double>(sums[0]) * kLossUnit / static_cast<double>(sums[1]);
  record.perplexity = std::exp(record.loss);
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

}  // namespace switchyard::app
