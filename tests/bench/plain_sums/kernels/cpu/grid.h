// Stands in for kernels/cpu/grid.h in the build that scripts/bench_step compares with: gradients are added as
// plain fp32 numbers, half as wide and without rounding. Whatever reads the sums as integers then reads
// nonsense of the same cost, so such a build is good for timing and for nothing else.
#pragma once

#include <cstdint>

#include "kernels/ops/gradient_sum.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace switchyard::kernels {
namespace {

inline std::int64_t add_to_grid(std::int64_t* sums, const float* values, std::int64_t n,
                                std::int64_t /*limit*/) {
  using Plain [[gnu::may_alias]] = float;
  auto* plain = reinterpret_cast<Plain*>(sums);
  for (std::int64_t i = 0; i < n; ++i) plain[i] += values[i];
  return 0;
}

#if defined(__AVX512F__)
inline std::int64_t add_16_to_grid(std::int64_t* sums, __m512 values, std::int64_t /*limit*/) {
  auto* plain = reinterpret_cast<float*>(sums);
  _mm512_storeu_ps(plain, _mm512_add_ps(_mm512_loadu_ps(plain), values));
  return 0;
}
#endif

}  // namespace
}  // namespace switchyard::kernels
