// Stands in for kernels/cpu/grid.h in the build that scripts/bench_step compares with: gradients are added as
// plain fp32 numbers, half as wide and without rounding. Whatever reads the sums as integers then reads
// nonsense of the same cost, so such a build is good for timing and for nothing else.
#pragma once

#include <cstdint>

#include "kernels/ops/gradient_sum.h"

namespace switchyard::kernels {
namespace {

inline std::int64_t add_to_grid(std::int64_t* sums, const float* values, std::int64_t n,
                                std::int64_t /*limit*/) {
  using Plain [[gnu::may_alias]] = float;
  auto* plain = reinterpret_cast<Plain*>(sums);
  for (std::int64_t i = 0; i < n; ++i) plain[i] += values[i];
  return 0;
}

}  // namespace
}  // namespace switchyard::kernels
