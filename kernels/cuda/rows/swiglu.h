// Launches of swiglu's kernels. Contract: kernels/ops/swiglu.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

void swiglu_forward(cudaStream_t stream, std::int64_t M, std::int64_t F, DType activations, void* h,
                    const void* gate_up);
void swiglu_backward(cudaStream_t stream, std::int64_t M, std::int64_t F, DType activations, void* dgate_up,
                     const void* dh, const void* gate_up);

}  // namespace switchyard::kernels::cuda
