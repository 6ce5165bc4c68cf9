// Launch of rope's kernel. Contract: kernels/ops/rope.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

struct RopeShape {
  std::int64_t tokens;  ///< B * T
  std::int64_t T;
  std::int64_t heads;
  std::int64_t D;
  std::int64_t first_position;
  DType activations;
};

/// `sign`: 1 rotates forward, -1 back.
void rope(cudaStream_t stream, const RopeShape& shape, void* x, const float* cosine, const float* sine,
          float sign);

}  // namespace switchyard::kernels::cuda
