// Launches of embedding's kernels. Contract: kernels/ops/embedding.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/grid_sum.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

void embedding_forward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations, void* x,
                       const std::int32_t* tokens, const void* weight);
void embedding_backward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations,
                        const GridSum& dweight, const void* dx, const std::int32_t* tokens);

}  // namespace switchyard::kernels::cuda
