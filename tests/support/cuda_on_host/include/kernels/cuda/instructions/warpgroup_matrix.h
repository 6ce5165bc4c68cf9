// Host form of kernels/cuda/instructions/warpgroup_matrix.h.
#pragma once

#include "kernels/cuda/instructions/barrier.h"
#include "kernels/cuda/instructions/descriptor.h"

namespace switchyard::kernels::cuda {

inline void warpgroup_fence(Where where = Where::current()) {
  cuda_on_host::warpgroup_fence(where);
}
inline void warpgroup_commit() {
  cuda_on_host::warpgroup_commit();
}
template <int kLeft>
void warpgroup_wait(Where where = Where::current()) {
  cuda_on_host::warpgroup_wait(kLeft, where);
}
template <Line kLineA, Line kLineB, int kSums>
void multiply_warpgroup(float (&d)[kSums], std::uint64_t a, std::uint64_t b, bool add,
                        Where where = Where::current()) {
  static_assert(kSums == 64 || kSums == 128);
  cuda_on_host::begin_multiply(
      {d, 2 * kSums, a, b, kLineA == Line::across_depth, kLineB == Line::across_depth, add}, where);
}

}  // namespace switchyard::kernels::cuda
