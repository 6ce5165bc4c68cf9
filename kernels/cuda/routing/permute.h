// Launches of the moves by a sort of slots. Contract: kernels/ops/permute.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

struct PermuteShape {
  std::int64_t N;
  std::int64_t K;
  std::int64_t C;
  DType activations;
};

void gather_rows_forward(cudaStream_t stream, const PermuteShape& shape, std::int64_t R, void* rows,
                         const void* x, const std::int32_t* slot_of_row);
/// y = base + sum over k in order of weight * rows[row_of_slot]; no base is 0, no weight 1.
void combine_rows_forward(cudaStream_t stream, const PermuteShape& shape, void* y, const void* rows,
                          const float* weight, const std::int32_t* row_of_slot, const void* base);
void combine_rows_backward(cudaStream_t stream, const PermuteShape& shape, void* drows, float* dweight,
                           const void* dy, const void* rows, const float* weight,
                           const std::int32_t* row_of_slot);

}  // namespace switchyard::kernels::cuda
