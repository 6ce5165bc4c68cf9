// One vector of floats at the instruction-set level this file is compiled for.
// kernels/cpu/*.cpp are compiled once per level. Everything here has internal linkage on purpose: a shared
// inline function could be emitted with AVX-512 instructions by one level and be picked by the linker for all
// of them. For the same reason those files call no std:: function templates; tests/kernels checks the
// symbols.
//
// Loads and stores of the last few elements of a row are masked, so that a tail rounds exactly like the body.
//
// A vector holds fp32, in memory it may be bf16: loads widen exactly, stores round to nearest even as
// BFloat16 does, NaN stays NaN. With integers, because the conversion instructions that some processors have
// take denormals for zeros.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/runtime/backend.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace switchyard::kernels {
namespace {

// One element; BFloat16's own members are shared inline functions (see above).
inline float widened(float value) {
  return value;
}
inline float widened(BFloat16 value) {
  const std::uint32_t word = static_cast<std::uint32_t>(value.bits) << 16;
  float out = 0;
  std::memcpy(&out, &word, sizeof out);
  return out;
}
inline void put(float* to, float value) {
  *to = value;
}
inline void put(BFloat16* to, float value) {
  std::uint32_t word = 0;
  std::memcpy(&word, &value, sizeof word);
  const std::uint32_t rounded = (word + 0x7fffU + ((word >> 16) & 1U)) >> 16;
  const std::uint32_t quiet = (word >> 16) | 0x0040U;
  to->bits = static_cast<std::uint16_t>((word & 0x7fffffffU) > 0x7f800000U ? quiet : rounded);
}

template <typename T>
struct ElementTag {
  using Element = T;
};

/// Calls visitor with the ElementTag of f32 or bf16.
template <typename Visitor>
void with_element(DType dtype, Visitor visitor) {
  if (dtype == DType::bf16) {
    visitor(ElementTag<BFloat16>{});
  } else {
    visitor(ElementTag<float>{});
  }
}

#if defined(__AVX512F__)

constexpr Backend kBackend = Backend::avx512;

struct Vec {
  static constexpr int kWidth = 16;
  __m512 v;

  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  /// The first n floats, zeros behind them; n in [0, kWidth].
  static Vec load(const float* p, std::int64_t n) { return {_mm512_maskz_loadu_ps(mask(n), p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(float* p, std::int64_t n) const { _mm512_mask_storeu_ps(p, mask(n), v); }

  static Vec load(const BFloat16* p) {
    return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vec load(const BFloat16* p, std::int64_t n) { return widened(_mm256_maskz_loadu_epi16(mask(n), p)); }
  void store(BFloat16* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrowed()); }
  void store(BFloat16* p, std::int64_t n) const { _mm256_mask_storeu_epi16(p, mask(n), narrowed()); }

  static __mmask16 mask(std::int64_t n) {
    return static_cast<__mmask16>((1U << static_cast<unsigned>(n)) - 1U);
  }
  static Vec widened(__m256i bits) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
  __m256i narrowed() const {
    const __m512i word = _mm512_castps_si512(v);
    const __m512i upper = _mm512_srli_epi32(word, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(word, half), 16);
    const __m512i quiet = _mm512_or_si512(upper, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(
        _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet));
  }
};

inline Vec operator+(Vec a, Vec b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm512_div_ps(a.v, b.v)};
}
/// a * b + c, rounded once.
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec max(Vec a, Vec b) {
  return {_mm512_max_ps(a.v, b.v)};
}
inline Vec min(Vec a, Vec b) {
  return {_mm512_min_ps(a.v, b.v)};
}
inline Vec sqrt(Vec a) {
  return {_mm512_sqrt_ps(a.v)};
}
/// To the nearest integer, ties to even.
inline Vec round(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// 2^n for an integral n in [-126, 127].
inline Vec exp2_integral(Vec n) {
  return {_mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127)), 23))};
}

#elif defined(__AVX2__)

constexpr Backend kBackend = Backend::avx2;

struct Vec {
  static constexpr int kWidth = 8;
  __m256 v;

  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  /// The first n floats, zeros behind them; n in [0, kWidth].
  static Vec load(const float* p, std::int64_t n) {
    return n == kWidth ? load(p) : Vec{_mm256_maskload_ps(p, mask(n))};
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  // Whole vectors take the plain instruction: a masked store is many times slower on some processors.
  void store(float* p, std::int64_t n) const {
    if (n == kWidth) return store(p);
    _mm256_maskstore_ps(p, mask(n), v);
  }

  static Vec load(const BFloat16* p) { return widened(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
  static Vec load(const BFloat16* p, std::int64_t n) {
    if (n == kWidth) return load(p);
    alignas(16) std::uint16_t lanes[kWidth] = {};
    for (std::int64_t i = 0; i < n; ++i) lanes[i] = p[i].bits;
    return widened(_mm_load_si128(reinterpret_cast<const __m128i*>(lanes)));
  }
  void store(BFloat16* p) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrowed()); }
  void store(BFloat16* p, std::int64_t n) const {
    if (n == kWidth) return store(p);
    alignas(16) std::uint16_t lanes[kWidth];
    _mm_store_si128(reinterpret_cast<__m128i*>(lanes), narrowed());
    for (std::int64_t i = 0; i < n; ++i) p[i].bits = lanes[i];
  }

  static Vec widened(__m128i bits) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
  }
  __m128i narrowed() const {
    const __m256i word = _mm256_castps_si256(v);
    const __m256i upper = _mm256_srli_epi32(word, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(word, half), 16);
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i bits = _mm256_blendv_epi8(rounded, quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  }
  static __m256i mask(std::int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.v, b.v)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.v, b.v)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.v, b.v)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.v, b.v)};
}
/// a * b + c, rounded once.
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec max(Vec a, Vec b) {
  return {_mm256_max_ps(a.v, b.v)};
}
inline Vec min(Vec a, Vec b) {
  return {_mm256_min_ps(a.v, b.v)};
}
inline Vec sqrt(Vec a) {
  return {_mm256_sqrt_ps(a.v)};
}
/// To the nearest integer, ties to even.
inline Vec round(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// 2^n for an integral n in [-126, 127].
inline Vec exp2_integral(Vec n) {
  return {_mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23))};
}

#else

constexpr Backend kBackend = Backend::generic;

// Plain arrays that the compiler may turn into what the baseline has. fma here is a product and a sum,
// rounded twice: a fused one in software would cost a hundred times as much, and bits are promised per level,
// not between levels.
struct Vec {
  static constexpr int kWidth = 4;
  float v[kWidth];

  static Vec zero() { return {}; }
  static Vec broadcast(float x) { return {{x, x, x, x}}; }
  static Vec load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  /// The first n floats, zeros behind them; n in [0, kWidth].
  static Vec load(const float* p, std::int64_t n) {
    if (n == kWidth) return load(p);
    Vec out{};
    for (int i = 0; i < n; ++i) out.v[i] = p[i];
    return out;
  }
  void store(float* p) const {
    for (int i = 0; i < kWidth; ++i) p[i] = v[i];
  }
  void store(float* p, std::int64_t n) const {
    if (n == kWidth) return store(p);
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }

  static Vec load(const BFloat16* p) { return load(p, kWidth); }
  static Vec load(const BFloat16* p, std::int64_t n) {
    Vec out{};
    for (int i = 0; i < n; ++i) out.v[i] = widened(p[i]);
    return out;
  }
  void store(BFloat16* p) const { store(p, kWidth); }
  void store(BFloat16* p, std::int64_t n) const {
    for (int i = 0; i < n; ++i) put(p + i, v[i]);
  }
};

template <typename F>
inline Vec map(F f) {
  Vec out;
  for (int i = 0; i < Vec::kWidth; ++i) out.v[i] = f(i);
  return out;
}
inline Vec operator+(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] / b.v[i]; });
}
/// a * b + c, rounded twice at this level.
inline Vec fma(Vec a, Vec b, Vec c) {
  return map([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec max(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(Vec a, Vec b) {
  return map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec sqrt(Vec a) {
  return map([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
/// To the nearest integer, ties to even; |a| < 2^22.
inline Vec round(Vec a) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: adding it leaves no bits for a fraction
  return map([&](int i) { return (a.v[i] + kMagic) - kMagic; });
}
/// 2^n for an integral n in [-126, 127].
inline Vec exp2_integral(Vec n) {
  return map([&](int i) {
    const std::uint32_t bits =
        n.v[i] == n.v[i] ? static_cast<std::uint32_t>(static_cast<int>(n.v[i]) + 127) << 23 : 0;
    float out;
    std::memcpy(&out, &bits, sizeof out);
    return out;
  });
}

#endif

/// Sum of the lanes, as a balanced tree.
inline float sum(Vec a) {
  float lanes[Vec::kWidth];
  a.store(lanes);
  for (int half = Vec::kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
  return lanes[0];
}

inline float max_lane(Vec a) {
  float lanes[Vec::kWidth];
  a.store(lanes);
  for (int half = Vec::kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  return lanes[0];
}

/// e^x to about 1 ulp. Below -87.3 it gives 2^-126, never a denormal; above 88.3 it stays at e^88.3; NaN
/// stays NaN. x = n ln2 + r with |r| <= ln2 / 2, e^r by its series to the seventh power.
inline Vec exp(Vec x) {
  const Vec limited = min(Vec::broadcast(88.3F), max(Vec::broadcast(-87.3F), x));
  const Vec n = round(limited * Vec::broadcast(1.44269504F));
  Vec r = fma(n, Vec::broadcast(-0.693359375F), limited);
  r = fma(n, Vec::broadcast(2.12194440e-4F), r);
  Vec p = Vec::broadcast(1.0F / 5040);
  p = fma(p, r, Vec::broadcast(1.0F / 720));
  p = fma(p, r, Vec::broadcast(1.0F / 120));
  p = fma(p, r, Vec::broadcast(1.0F / 24));
  p = fma(p, r, Vec::broadcast(1.0F / 6));
  p = fma(p, r, Vec::broadcast(0.5F));
  p = fma(p, r * r, r);
  return fma(p, exp2_integral(n), exp2_integral(n));
}

/// 1 / (1 + e^-x)
inline Vec sigmoid(Vec x) {
  const Vec one = Vec::broadcast(1.0F);
  return one / (one + exp(Vec::zero() - x));
}

}  // namespace
}  // namespace switchyard::kernels
