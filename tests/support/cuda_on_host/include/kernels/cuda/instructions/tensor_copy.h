// Host form of kernels/cuda/instructions/tensor_copy.h.
#pragma once

#include "kernels/cuda/instructions/barrier.h"
#include "kernels/cuda/instructions/tensor_map.h"

namespace switchyard::kernels::cuda {

inline void copy_box(void* to, const TensorMap& map, int matrix, int row, int column, Barrier* barrier,
                     Where where = Where::current()) {
  cuda_on_host::copy_box(to, map, matrix, row, column, barrier, where);
}

}  // namespace switchyard::kernels::cuda
