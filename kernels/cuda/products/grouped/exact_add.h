// Rounding onto the grid of ops/gradient_sum.h, as the CPU does it. Device code.
#pragma once

#include <cstdint>

namespace switchyard::kernels::cuda {

/// Whether the value may be added: not NaN and within `bound`, the limit as a float.
__device__ inline bool fits_grid(float value, float bound) {
  return fabsf(value * 0x1p44F) <= bound;
}

/// The value in grid units, to the nearest, ties to even; 0 if it does not fit.
__device__ inline std::int64_t to_grid(float value, float bound) {
  return fits_grid(value, bound) ? __float2ll_rn(value * 0x1p44F) : 0;
}

/// Integer addition is exact: whoever comes first.
__device__ inline void add_exactly(std::int64_t* sum, std::int64_t value) {
  static_assert(sizeof(unsigned long long) == sizeof(std::int64_t));
  atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(value));
}

}  // namespace switchyard::kernels::cuda
