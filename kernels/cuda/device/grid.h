// Rounding of a gradient block's value onto the grid of exact sums (kernels/ops/gradient_sum.h). The sums are
// integers, so that threads may add to one of them in any order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/grid_sum.h"

namespace switchyard::kernels::cuda {

/// sums[at] += round(value * 2^44); a value that is NaN or beyond the limit adds 0 and is counted.
__device__ __forceinline__ void add_to_grid(const GridSum& grid, std::int64_t at, float value) {
  const float scaled = value * 0x1p44F;
  if (fabsf(scaled) <= static_cast<float>(grid.limit)) {
    atomicAdd(reinterpret_cast<unsigned long long*>(grid.sums + at),
              static_cast<unsigned long long>(__float2ll_rn(scaled)));
  } else {
    atomicAdd(reinterpret_cast<unsigned long long*>(grid.overflow), 1ULL);
  }
}

}  // namespace switchyard::kernels::cuda
