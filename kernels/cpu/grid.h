// Rounding of fp32 values onto the grid of exact sums (ops/gradient_sum.h). Same bits at every level: the
// scaling is by a power of two and the rounding is to nearest even.
#pragma once

#include <cstdint>

#include "kernels/cpu/simd.h"
#include "kernels/ops/gradient_sum.h"

namespace switchyard::kernels {
namespace {

/// sums[i] += round(values[i] * 2^44) for i < n. Returns how many values were NaN or beyond the limit (they
/// add 0).
inline std::int64_t add_to_grid(std::int64_t* sums, const float* values, std::int64_t n, std::int64_t limit) {
  constexpr float kScale = 0x1p44F;
  const auto bound = static_cast<float>(limit);
  std::int64_t refused = 0;
  std::int64_t i = 0;
#if defined(__AVX512F__)
  const __m256 scale = _mm256_set1_ps(kScale);
  const __m256 bounds = _mm256_set1_ps(bound);
  for (; i < n; i += 8) {
    const __mmask8 present =
        n - i >= 8 ? 0xff : static_cast<__mmask8>((1U << static_cast<unsigned>(n - i)) - 1U);
    const __m256 scaled = _mm256_mul_ps(_mm256_maskz_loadu_ps(present, values + i), scale);
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), scaled);
    const __mmask8 good = _mm256_mask_cmp_ps_mask(present, magnitude, bounds, _CMP_LE_OQ);
    const __m512i rounded =
        _mm512_maskz_cvt_roundps_epi64(good, scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512i old = _mm512_maskz_loadu_epi64(present, sums + i);
    _mm512_mask_storeu_epi64(sums + i, present, _mm512_add_epi64(old, rounded));
    refused += __builtin_popcount(static_cast<unsigned>(present & ~good));
  }
#else
  for (; i < n; ++i) {
    const float scaled = values[i] * kScale;
    if (__builtin_fabsf(scaled) <= bound) {
      sums[i] += __builtin_llrintf(scaled);
    } else {
      ++refused;
    }
  }
#endif
  return refused;
}

}  // namespace
}  // namespace switchyard::kernels
