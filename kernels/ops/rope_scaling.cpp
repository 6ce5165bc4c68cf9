#include "kernels/ops/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/runtime/check.h"

namespace switchyard::kernels {

namespace {

double llama3(const RopeScaling& scaling, double frequency) {
  const double turns = static_cast<double>(scaling.original_length) * frequency / (2 * std::numbers::pi);
  if (turns > scaling.high_frequency_factor) return frequency;
  if (turns < scaling.low_frequency_factor) return frequency / scaling.factor;
  const double kept =
      (turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - kept) * frequency / scaling.factor + kept * frequency;
}

// The pairs between which yarn passes from kept to stretched.
struct Ramp {
  Ramp(const RopeScaling& scaling, double theta, std::int64_t half) {
    const auto D = static_cast<double>(2 * half);
    const auto pair_that_turns = [&](double times) {
      const double length = static_cast<double>(scaling.original_length);
      return D * std::log(length / (times * 2 * std::numbers::pi)) / (2 * std::log(theta));
    };
    from = pair_that_turns(scaling.beta_fast);
    to = pair_that_turns(scaling.beta_slow);
    if (scaling.truncate) {
      from = std::floor(from);
      to = std::ceil(to);
    }
    from = std::max(from, 0.0);
    to = std::min(to, D - 1);
    if (from == to) to += 0.001;  // a step, as in the authors' code
  }
  double stretched(std::int64_t pair) const {
    return std::clamp((static_cast<double>(pair) - from) / (to - from), 0.0, 1.0);
  }
  double from, to;
};

}  // namespace

std::vector<double> rope_frequencies(const RopeScaling& scaling, double theta, std::int64_t half) {
  SWITCHYARD_CHECK(scaling.kind == RopeScalingKind::none || scaling.factor > 0,
                   "rope_frequencies: the factor must be above 0; got {}", scaling.factor);
  const bool reads_length = scaling.kind == RopeScalingKind::llama3 || scaling.kind == RopeScalingKind::yarn;
  SWITCHYARD_CHECK(!reads_length || scaling.original_length > 0,
                   "rope_frequencies: llama3 and yarn need the original length; got {}",
                   scaling.original_length);
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < half; ++i)
    frequencies.push_back(std::pow(theta, -static_cast<double>(i) / static_cast<double>(half)));
  switch (scaling.kind) {
    case RopeScalingKind::none:
      break;
    case RopeScalingKind::linear:
      for (double& frequency : frequencies) frequency /= scaling.factor;
      break;
    case RopeScalingKind::llama3:
      for (double& frequency : frequencies) frequency = llama3(scaling, frequency);
      break;
    case RopeScalingKind::yarn: {
      const Ramp ramp(scaling, theta, half);
      for (std::int64_t i = 0; i < half; ++i) {
        double& frequency = frequencies[static_cast<std::size_t>(i)];
        const double m = ramp.stretched(i);
        frequency = frequency / scaling.factor * m + frequency * (1 - m);
      }
      break;
    }
  }
  return frequencies;
}

double rope_attention_factor(const RopeScaling& scaling) {
  if (scaling.kind != RopeScalingKind::yarn) return 1.0;
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  return scaling.factor <= 1 ? 1.0 : 0.1 * std::log(scaling.factor) + 1.0;
}

}  // namespace switchyard::kernels
