// Launches of rms_norm's kernels. Contract: kernels/ops/rms_norm.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/grid_sum.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

struct RmsNormShape {
  std::int64_t N;
  std::int64_t C;
  DType activations;  ///< of x, y, dx, dy and dresidual: f32 or bf16
};

void rms_norm_forward(cudaStream_t stream, const RmsNormShape& shape, void* y, float* rstd, const void* x,
                      const float* weight, float epsilon);
/// The weight's gradient first: dx may be the memory of dy.
void rms_norm_backward(cudaStream_t stream, const RmsNormShape& shape, void* dx, const GridSum& dweight,
                       const void* dy, const void* x, const float* weight, const float* rstd,
                       const void* dresidual);

}  // namespace switchyard::kernels::cuda
