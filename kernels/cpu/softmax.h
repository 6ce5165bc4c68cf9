// Maximum and log-sum-exp of one row, shared by the loss and the router. Internal linkage, as in simd.h.
#pragma once

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {
namespace {

/// The first n floats, `fill` behind them; n in [0, kWidth].
[[maybe_unused]] inline Vec load_filled(const float* p, std::int64_t n, float fill) {
  if (n >= Vec::kWidth) return Vec::load(p);
  float lanes[Vec::kWidth];
  Vec::broadcast(fill).store(lanes);
  for (std::int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return Vec::load(lanes);
}

/// Largest of n values; meaningless when one is NaN (what is made of it by e^(x - max) is NaN then).
[[maybe_unused]] inline float row_max(const float* x, std::int64_t n) {
  Vec a = Vec::broadcast(-__builtin_inff());
  Vec b = a;
  std::int64_t i = 0;
  for (; i + 2 * Vec::kWidth <= n; i += 2 * Vec::kWidth) {
    a = max(a, Vec::load(x + i));
    b = max(b, Vec::load(x + i + Vec::kWidth));
  }
  for (; i < n; i += Vec::kWidth)
    a = max(a, load_filled(x + i, n - i < Vec::kWidth ? n - i : Vec::kWidth, -__builtin_inff()));
  return max_lane(max(a, b));
}

/// log(sum(e^(x - max))) + max, given that sum. In double, so that the result does not hang on which
/// logf the C library picks for this processor.
[[maybe_unused]] inline float log_sum(float largest, float total) {
  return static_cast<float>(static_cast<double>(largest) + __builtin_log(static_cast<double>(total)));
}

}  // namespace
}  // namespace switchyard::kernels
