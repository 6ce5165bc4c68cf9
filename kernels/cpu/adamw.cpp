// adamw on the CPU: fp32 state, weights in fp32 or bf16. No fused multiply-adds: every operation is rounded
// once and the same bits come out at every level.
#include "kernels/ops/adamw.h"

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kGrain = 8192;

#if defined(__AVX2__) && !defined(__AVX512F__)
// Four sums to double: high words and (shifted to be signed) low words convert exactly, so that their sum is
// the one rounding.
__m256d to_double(const std::int64_t* sums) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums));
  const __m256i parted = _mm256_permutevar8x32_epi32(words, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  const __m128i low = _mm_xor_si128(_mm256_castsi256_si128(parted), _mm_set1_epi32(INT32_MIN));
  const __m256d high = _mm256_cvtepi32_pd(_mm256_extracti128_si256(parted, 1));
  return _mm256_add_pd(_mm256_mul_pd(high, _mm256_set1_pd(0x1p32)),
                       _mm256_add_pd(_mm256_cvtepi32_pd(low), _mm256_set1_pd(0x1p31)));
}
#endif

// n gradients: the sums times `factor` in double, rounded once to fp32.
Vec load_gradient(const std::int64_t* sums, std::int64_t n, double factor) {
#if defined(__AVX512F__)
  const auto low = static_cast<__mmask8>(n >= 8 ? 0xff : (1U << static_cast<unsigned>(n)) - 1U);
  const auto high = static_cast<__mmask8>(n <= 8 ? 0 : (1U << static_cast<unsigned>(n - 8)) - 1U);
  const __m512d factors = _mm512_set1_pd(factor);
  const __m512d a = _mm512_mul_pd(_mm512_cvtepi64_pd(_mm512_maskz_loadu_epi64(low, sums)), factors);
  const __m512d b =
      _mm512_mul_pd(_mm512_cvtepi64_pd(_mm512_maskz_loadu_epi64(high, n > 8 ? sums + 8 : sums)), factors);
  return {_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)), _mm512_cvtpd_ps(b), 1)};
#elif defined(__AVX2__)
  std::int64_t whole[Vec::kWidth] = {};
  if (n < Vec::kWidth) {
    std::memcpy(whole, sums, static_cast<std::size_t>(n) * sizeof(std::int64_t));
    sums = whole;
  }
  const __m256d factors = _mm256_set1_pd(factor);
  const __m128 a = _mm256_cvtpd_ps(_mm256_mul_pd(to_double(sums), factors));
  const __m128 b = _mm256_cvtpd_ps(_mm256_mul_pd(to_double(sums + 4), factors));
  return {_mm256_set_m128(b, a)};
#else
  float lanes[Vec::kWidth] = {};
  for (std::int64_t i = 0; i < n; ++i) lanes[i] = static_cast<float>(static_cast<double>(sums[i]) * factor);
  return Vec::load(lanes);
#endif
}

struct State {
  float* master;
  float* m;
  float* v;
  float* weight;       // or null
  BFloat16* weight16;  // or null
  const std::int64_t* sums;
};

void step_vector(const State& state, std::int64_t i, std::int64_t n, const AdamwScalars& scalars) {
  const Vec gradient = load_gradient(state.sums + i, n, kGridUnit * scalars.gradient_scale);
  const Vec m = Vec::broadcast(scalars.beta1) * Vec::load(state.m + i, n) +
                Vec::broadcast(1.0F - scalars.beta1) * gradient;
  const Vec v = Vec::broadcast(scalars.beta2) * Vec::load(state.v + i, n) +
                Vec::broadcast(1.0F - scalars.beta2) * (gradient * gradient);
  const Vec master = Vec::load(state.master + i, n);
  const Vec direction =
      m / Vec::broadcast(scalars.bias_correction1) /
      (sqrt(v / Vec::broadcast(scalars.bias_correction2)) + Vec::broadcast(scalars.epsilon));
  const Vec updated = master - Vec::broadcast(scalars.learning_rate) *
                                   (direction + Vec::broadcast(scalars.weight_decay) * master);
  m.store(state.m + i, n);
  v.store(state.v + i, n);
  updated.store(state.master + i, n);
  if (state.weight != nullptr) updated.store(state.weight + i, n);
  if (state.weight16 != nullptr) updated.store(state.weight16 + i, n);
}

// In eight interleaved sums and then a tree: one order at every level.
double block_squares(const std::int64_t* sums, std::int64_t n, double factor) {
  double lanes[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j) {
      const double value = static_cast<double>(sums[i + j]) * factor;
      lanes[j] += value * value;
    }
  }
  for (int j = 0; i + j < n; ++j) {
    const double value = static_cast<double>(sums[i + j]) * factor;
    lanes[j] += value * value;
  }
  for (int half = 4; half > 0; half /= 2)
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  return lanes[0];
}

}  // namespace

template <>
bool Adamw<kBackend>::sum_of_squares(Context& context, WideSum& total, ConstTensorView sums, double scale) {
  const std::int64_t n = sums.elements();
  const std::int64_t blocks = (n + kNormBlock - 1) / kNormBlock;
  const auto* psums = sums.data<std::int64_t>();
  ArenaScope scope(context.scratch());
  auto* squares = scope.tensor(DType::f64, {blocks}).data<double>();
  context.threads().run(blocks, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kNormBlock;
      squares[block] =
          block_squares(psums + first, n - first < kNormBlock ? n - first : kNormBlock, kGridUnit * scale);
    }
  });
  bool fits = true;
  for (std::int64_t block = 0; block < blocks; ++block) fits = total.add(squares[block]) && fits;
  return fits;
}

template <>
void Adamw<kBackend>::step(Context& context, TensorView master, TensorView m, TensorView v, TensorView weight,
                           ConstTensorView sums, const AdamwScalars& scalars) {
  const bool narrow = weight.present() && weight.dtype() == DType::bf16;
  const State state{master.data<float>(),
                    m.data<float>(),
                    v.data<float>(),
                    weight.present() && !narrow ? weight.data<float>() : nullptr,
                    narrow ? weight.data<BFloat16>() : nullptr,
                    sums.data<std::int64_t>()};
  context.threads().run(master.elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += Vec::kWidth)
      step_vector(state, i, end - i < Vec::kWidth ? end - i : Vec::kWidth, scalars);
  });
}

}  // namespace switchyard::kernels
