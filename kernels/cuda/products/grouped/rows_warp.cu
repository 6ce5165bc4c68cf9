// Forward and data gradient of grouped products by the matrix instruction of a warp.
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/shared_memory.h"
#include "kernels/cuda/products/grouped/row_tile.h"
#include "kernels/cuda/products/grouped/warp_tile.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kColumns = 128;

struct RowsArguments {
  RowTiles tiles;
  __nv_bfloat16* result;
  const __nv_bfloat16* rows;
  const __nv_bfloat16* weight;
  std::int32_t depth;
  std::int32_t columns;
  bool wide_rows;
  bool wide_weight;
};

template <typename Tile>
__device__ void store(const typename Tile::Sums& sums, const RowTile& tile, const RowsArguments& a) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < Tile::kBlocks; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::int32_t row = Tile::first_row() + 16 * m + lane / 4 + 8 * (i / 2);
        const std::int32_t column =
            tile.column_tile * kColumns + Tile::first_column() + 8 * n + lane % 4 * 2 + i % 2;
        if (row < tile.rows && column < a.columns)
          a.result[static_cast<std::int64_t>(tile.row + row) * a.columns + column] =
              __float2bfloat16_rn(sums[m][n][i]);
      }
}

template <Line kWeightLine>
__global__ void __launch_bounds__(kWarpBlockThreads, 2) grouped_rows_warp_kernel(const RowsArguments a) {
  using Tile = WarpTile<Line::along_depth, kWeightLine, kColumns>;
  constexpr bool kAlong = kWeightLine == Line::along_depth;
  auto* shared = dynamic_shared<__nv_bfloat16>();
  const std::int32_t column_tiles = (a.columns + kColumns - 1) / kColumns;
  const std::int32_t count = tile_count(a.tiles, column_tiles);
  const std::int64_t weight_size = static_cast<std::int64_t>(a.columns) * a.depth;
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < count;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const RowTile tile = row_tile<kWarpTileRows>(a.tiles, column_tiles, index);
    const Operand rows{a.rows + static_cast<std::int64_t>(tile.row) * a.depth, tile.rows, a.depth,
                       a.wide_rows};
    const Operand weight{a.weight + tile.expert * weight_size, kAlong ? a.columns : a.depth,
                         kAlong ? a.depth : a.columns, a.wide_weight};
    typename Tile::Sums sums;
    Tile::multiply(sums, shared, rows, 0, weight, tile.column_tile * kColumns, 0, a.depth);
    store<Tile>(sums, tile, a);
  }
}

template <Line kWeightLine>
void run(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors) {
  const std::int64_t weight_columns = kWeightLine == Line::along_depth ? product.depth : product.columns;
  const RowsArguments arguments{tiles,
                                static_cast<__nv_bfloat16*>(product.result),
                                static_cast<const __nv_bfloat16*>(product.rows),
                                static_cast<const __nv_bfloat16*>(product.weight),
                                static_cast<std::int32_t>(product.depth),
                                static_cast<std::int32_t>(product.columns),
                                is_wide_operand(product.rows, product.depth),
                                is_wide_operand(product.weight, weight_columns)};
  launch(stream, "grouped_rows_warp",
         {static_cast<unsigned>(2 * processors), kWarpBlockThreads,
          WarpTile<Line::along_depth, kWeightLine, kColumns>::kSharedBytes},
         grouped_rows_warp_kernel<kWeightLine>, arguments);
}

}  // namespace

void rows_warp(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors) {
  if (product.direction == Direction::forward) {
    run<Line::along_depth>(stream, product, tiles, processors);
  } else {
    run<Line::across_depth>(stream, product, tiles, processors);
  }
}

}  // namespace switchyard::kernels::cuda
