// Rounding of fp32 values onto the grid of exact sums (ops/gradient_sum.h). Same bits at every level: the
// scaling is by a power of two and the rounding is to nearest even.
#pragma once

#include <cstdint>

#include "kernels/cpu/simd.h"
#include "kernels/ops/gradient_sum.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace switchyard::kernels {
namespace {

inline std::int64_t to_int64(float value) {
#if defined(__SSE2__)
  return _mm_cvtss_si64(_mm_set_ss(value));  // the compiler would call the library for llrintf
#else
  return __builtin_llrintf(value);
#endif
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// To the nearest, ties to even; |values| <= 2^62. A double holds each exactly, but only 52 bits of it can be
// read as an integer, so the upper and lower 32 bits of the result are made apart.
inline __m256i to_int64(__m128 values) {
  const __m256d whole =
      _mm256_round_pd(_mm256_cvtps_pd(values), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256d high = _mm256_floor_pd(_mm256_mul_pd(whole, _mm256_set1_pd(0x1p-32)));
  const __m256d low = _mm256_fnmadd_pd(high, _mm256_set1_pd(0x1p32), whole);
  // Added to 1.5 * 2^52, an integer stands in the lowest bits.
  const __m256d shift = _mm256_set1_pd(0x1.8p52);
  const __m256i high_bits = _mm256_slli_epi64(_mm256_castpd_si256(_mm256_add_pd(high, shift)), 32);
  const __m256i low_bits = _mm256_castpd_si256(_mm256_add_pd(low, shift));
  return _mm256_blend_epi32(low_bits, high_bits, 0xaa);
}
#endif

#if defined(__AVX512F__)
/// add_to_grid of 16 values.
inline std::int64_t add_16_to_grid(std::int64_t* sums, __m512 values, std::int64_t limit) {
  const __m512 scaled = _mm512_mul_ps(values, _mm512_set1_ps(0x1p44F));
  const __m512 bound = _mm512_set1_ps(static_cast<float>(limit));
  const unsigned good = _mm512_cmp_ps_mask(_mm512_abs_ps(scaled), bound, _CMP_LE_OQ);
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  const __m512i low =
      _mm512_maskz_cvt_roundps_epi64(static_cast<__mmask8>(good), _mm512_castps512_ps256(scaled), kNearest);
  const __m512i high = _mm512_maskz_cvt_roundps_epi64(static_cast<__mmask8>(good >> 8),
                                                      _mm512_extractf32x8_ps(scaled, 1), kNearest);
  _mm512_storeu_si512(sums, _mm512_add_epi64(_mm512_loadu_si512(sums), low));
  _mm512_storeu_si512(sums + 8, _mm512_add_epi64(_mm512_loadu_si512(sums + 8), high));
  return 16 - __builtin_popcount(good);
}
#endif

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
  for (; i + 16 <= n; i += 16) refused += add_16_to_grid(sums + i, _mm512_loadu_ps(values + i), limit);
  for (; i < n; i += 8) {
    const __mmask8 present =
        n - i >= 8 ? 0xff : static_cast<__mmask8>((1U << static_cast<unsigned>(n - i)) - 1U);
    const __m256 scaled = _mm256_mul_ps(_mm256_maskz_loadu_ps(present, values + i), scale);
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), scaled);
    const __mmask8 good = _mm256_cmp_ps_mask(magnitude, bounds, _CMP_LE_OQ);
    const __m512i rounded =
        _mm512_maskz_cvt_roundps_epi64(good, scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    if (present == 0xff) {
      _mm512_storeu_si512(sums + i, _mm512_add_epi64(_mm512_loadu_si512(sums + i), rounded));
    } else {
      const __m512i old = _mm512_maskz_loadu_epi64(present, sums + i);
      _mm512_mask_storeu_epi64(sums + i, present, _mm512_add_epi64(old, rounded));
    }
    if (good != 0xff) [[unlikely]]
      refused += 8 - __builtin_popcount(static_cast<unsigned>(good));
  }
#else
#if defined(__AVX2__)
  for (; i + 4 <= n; i += 4) {
    const __m128 scaled = _mm_mul_ps(_mm_loadu_ps(values + i), _mm_set1_ps(kScale));
    const __m128 good = _mm_cmp_ps(_mm_andnot_ps(_mm_set1_ps(-0.0F), scaled), _mm_set1_ps(bound), _CMP_LE_OQ);
    const __m256i old = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + i),
                        _mm256_add_epi64(old, to_int64(_mm_and_ps(scaled, good))));
    const int kept = _mm_movemask_ps(good);
    if (kept != 0xf) [[unlikely]]
      refused += 4 - __builtin_popcount(static_cast<unsigned>(kept));
  }
#endif
  for (; i < n; ++i) {
    const float scaled = values[i] * kScale;
    if (__builtin_fabsf(scaled) <= bound) {
      sums[i] += to_int64(scaled);
    } else {
      ++refused;
    }
  }
#endif
  return refused;
}

}  // namespace
}  // namespace switchyard::kernels
