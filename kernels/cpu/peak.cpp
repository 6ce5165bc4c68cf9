// Multiply-adds in registers only, at the level this file is compiled for.
#include "kernels/runtime/peak.h"

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

// Enough independent chains to hide the latency of a multiply-add on every pipe, few enough for registers.
#if defined(__AVX512F__)
constexpr int kChains = 16;
#else
constexpr int kChains = 12;
#endif

// Every chain tends to 1, so that no value becomes denormal or infinite.
float multiply_add_rounds(std::int64_t rounds) {
  Vec chains[kChains];
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) chains[c] = Vec::broadcast(static_cast<float>(c));
  const Vec half = Vec::broadcast(0.5F);
  for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) chains[c] = fma(chains[c], half, half);
  }
  Vec total = Vec::zero();
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) total = total + chains[c];
  return sum(total);
}

}  // namespace

template <>
double Peak<kBackend>::run(Context& context, std::int64_t pieces, std::int64_t rounds) {
  float used[64] = {};  // results go somewhere, so that the work is not removed
  context.threads().run_on_workers(pieces, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      float result = multiply_add_rounds(rounds);  // the builtin takes no address of a constant
      __atomic_store(&used[worker % 64], &result, __ATOMIC_RELAXED);
    }
  });
  return 2.0 * kChains * Vec::kWidth;
}

}  // namespace switchyard::kernels
