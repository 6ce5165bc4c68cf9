// Launches of cross_entropy's kernels. Contract: kernels/ops/cross_entropy.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

void cross_entropy_forward(cudaStream_t stream, std::int64_t N, std::int64_t V, float* loss, float* lse,
                           const float* logits, const std::int32_t* targets);
/// dlogits of `dtype`, f32 or bf16.
void cross_entropy_backward(cudaStream_t stream, std::int64_t N, std::int64_t V, DType dtype, void* dlogits,
                            const float* logits, const std::int32_t* targets, const float* lse, float scale);

}  // namespace switchyard::kernels::cuda
