// The grouped products in their three forms. Contract: kernels/ops/grouped_linear.h; forms.h says which
// serves. All pointers are of the device.
#pragma once

#include "kernels/cuda/device/grid_sum.h"
#include "kernels/cuda/products/grouped/segment_plan.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

/// Rows with the weight (out, in) of their expert.
enum class Direction : std::uint8_t {
  forward,       ///< result (M, out) = rows (M, in) * weight^T
  backward_data  ///< result (M, in) = rows (M, out) * weight
};

struct RowsProduct {
  void* result;        ///< (M, columns)
  const void* rows;    ///< (M, depth)
  const void* weight;  ///< (experts, out, in)
  std::int64_t M;
  std::int64_t experts;
  std::int64_t depth;
  std::int64_t columns;
  Direction direction;
  bool add = false;  ///< the sums begin with what is in result; the plain form alone
};

struct GradientProduct {
  GridSum dweight;  ///< (experts, out, in)
  const void* dy;   ///< (M, out)
  const void* x;    ///< (M, in)
  std::int64_t M;
  std::int64_t experts;
  std::int64_t out;
  std::int64_t in;
};

/// Rows of a tile in each form: what plan_row_tiles is to be told.
inline constexpr int kWarpgroupTileRows = 128;
inline constexpr int kWarpTileRows = 128;
inline constexpr int kPlainTileRows = 64;

/// Hopper: matrix instruction of a warpgroup, operands brought by the copy engine. bf16.
void rows_warpgroup(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors);
void gradient_warpgroup(cudaStream_t stream, const GradientProduct& product, const GradientBlocks& blocks,
                        int processors);
/// Ampere and later, any sizes: matrix instruction of a warp. bf16.
void rows_warp(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors);
void gradient_warp(cudaStream_t stream, const GradientProduct& product, const GradientBlocks& blocks,
                   int processors);
/// One chain of fused multiply-adds in index order for each element. fp32.
void rows_plain(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors);
void gradient_plain(cudaStream_t stream, const GradientProduct& product, const GradientBlocks& blocks,
                    int processors);

}  // namespace switchyard::kernels::cuda
