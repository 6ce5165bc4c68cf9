#include "kernels/cuda/products/peak/multiply_adds.h"

#include "kernels/cuda/device/launch.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kChains = 8;
constexpr int kRepeats = 16;
static_assert(kOperationsOfRound == 2.0 * kThreads * kChains * kRepeats);

__global__ void __launch_bounds__(kThreads) multiply_adds_kernel(std::int64_t rounds, float* sink) {
  float chains[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) chains[c] = static_cast<float>(threadIdx.x + c);
  for (std::int64_t round = 0; round < rounds; ++round)
#pragma unroll
    for (int repeat = 0; repeat < kRepeats; ++repeat)
#pragma unroll
      for (int c = 0; c < kChains; ++c) chains[c] = fmaf(chains[c], 0.5F, 0.25F);
  float sum = 0;
#pragma unroll
  for (int c = 0; c < kChains; ++c) sum += chains[c];
  if (sum < 0) *sink = sum;  // the chains stay above 0; the compiler does not know
}

}  // namespace

void multiply_adds(cudaStream_t stream, std::int64_t pieces, std::int64_t rounds, float* sink) {
  launch(stream, "multiply_adds", {static_cast<unsigned>(pieces), kThreads}, multiply_adds_kernel, rounds,
         sink);
}

}  // namespace switchyard::kernels::cuda
