// Launches of the router's kernels. Contract: kernels/ops/router.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace switchyard::kernels::cuda {

/// Sizes of a call and RouterOptions.
struct RouterShape {
  std::int64_t N, E, K;
  bool sigmoid, softmax_after_top_k, renormalize;
  float scaling_factor;
  std::int32_t groups, group_top_k;
  float z_coefficient;
};

void router_forward(cudaStream_t stream, const RouterShape& shape, std::int32_t* expert, float* weight,
                    float* probability, float* lse, const float* logits, const float* bias);

struct RouterGradients {
  const float* dweight;
  const float* dprobability;  ///< or null
  std::int64_t run;           ///< rows that share a row of dprobability
};
void router_backward(cudaStream_t stream, const RouterShape& shape, float* dlogits,
                     const RouterGradients& gradients, const std::int32_t* expert, const float* probability,
                     const float* lse, const float* logits);

}  // namespace switchyard::kernels::cuda
