// Copies of boxes from device to shared memory by the copy engine (PTX ISA: cp.async.bulk.tensor). sm_90.
#pragma once

#include "kernels/cuda/instructions/barrier.h"
#include "kernels/cuda/instructions/tensor_map.h"

namespace switchyard::kernels::cuda {

/// Starts the copy of the box at (matrix, row, column) to `to`, aligned to 1024. The box's bytes are counted
/// at `barrier`, also those that lie outside the tensor. One thread.
__device__ inline void copy_box(void* to, const TensorMap& map, int matrix, int row, int column,
                                Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(shared_address(to)),
      "l"(&map), "r"(column), "r"(row), "r"(matrix), "r"(shared_address(barrier))
      : "memory");
}

}  // namespace switchyard::kernels::cuda
