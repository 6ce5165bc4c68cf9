// What dense layers need beside products: biases, their gradients, and the plan of one segment.
#pragma once

#include "kernels/cuda/device/grid_sum.h"
#include "kernels/cuda/products/grouped/segment_plan.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

/// y (N, O) = sums (N, O) f32 + bias (O), rounded once to y's dtype. y may be `sums` if it is f32.
void add_bias(cudaStream_t stream, void* y, DType dtype, const float* sums, const float* bias, std::int64_t N,
              std::int64_t O);

/// dbias (O) += the sum of the rows of dy (N, O), block by block, in row order within a block.
void add_bias_gradient(cudaStream_t stream, const GridSum& dbias, const void* dy, DType dtype, std::int64_t N,
                       std::int64_t O);

/// Fills `plan` for one segment of all N rows of one expert.
void plan_one_segment(cudaStream_t stream, const GradientBlocks& plan, std::int64_t N);
/// The same for tiles of rows; `segment` (1) and `tile_begin` (2) are overwritten.
void plan_one_segment(cudaStream_t stream, Segment* segment, std::int32_t* tile_begin, std::int64_t N,
                      int tile_rows);

}  // namespace switchyard::kernels::cuda
