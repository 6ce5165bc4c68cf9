// Grouped products in fp32 without matrix instructions: 64 x 64 tiles, each thread 4 x 4 elements, each
// element one chain of fused multiply-adds over the reduction in index order, as on the CPU.
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/products/grouped/exact_add.h"
#include "kernels/cuda/products/grouped/forms.h"
#include "kernels/cuda/products/grouped/row_tile.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kTile = 64;
constexpr int kDepth = 16;
constexpr int kThreads = 256;
constexpr int kSide = 4;  // of a thread's square

// Element (i, k) of an operand: at i * line + k * depth, with i below `extent`.
struct Matrix {
  const float* data;
  std::int32_t extent;
  std::int64_t line;
  std::int64_t depth;
};

using Sums = float[kSide][kSide];
using Stage = float[kDepth][kTile + 1];

__device__ void bring(Stage& to, const Matrix& from, std::int32_t first, std::int32_t k, std::int32_t depth) {
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kDepth; i += kThreads) {
    // Neighbouring threads read neighbouring addresses.
    const int line = from.depth == 1 ? i / kDepth : i % kTile;
    const int step = from.depth == 1 ? i % kDepth : i / kTile;
    const bool inside = first + line < from.extent && k + step < depth;
    to[step][line] = inside ? from.data[(first + line) * from.line + (k + step) * from.depth] : 0.0F;
  }
}

// sums += left * right^T over `depth`; the tile begins at (row, column). All threads of the block.
__device__ void multiply(Sums& sums, const Matrix& left, std::int32_t row, const Matrix& right,
                         std::int32_t column, std::int32_t depth) {
  __shared__ Stage a;
  __shared__ Stage b;
  const int m = static_cast<int>(threadIdx.x) / 16 * kSide;
  const int n = static_cast<int>(threadIdx.x) % 16 * kSide;
  for (std::int32_t k = 0; k < depth; k += kDepth) {
    __syncthreads();
    bring(a, left, row, k, depth);
    bring(b, right, column, k, depth);
    __syncthreads();
    const int steps = min(kDepth, depth - k);  // a product with 0 behind the end could turn -0 into 0
    for (int step = 0; step < steps; ++step)
#pragma unroll
      for (int i = 0; i < kSide; ++i)
#pragma unroll
        for (int j = 0; j < kSide; ++j) sums[i][j] = fmaf(a[step][m + i], b[step][n + j], sums[i][j]);
  }
}

struct RowsArguments {
  RowTiles tiles;
  float* result;
  const float* rows;
  const float* weight;
  std::int32_t depth;
  std::int32_t columns;
  bool forward;
  bool add;
};

__global__ void __launch_bounds__(kThreads, 2) grouped_rows_plain_kernel(const RowsArguments p) {
  const std::int32_t column_tiles = (p.columns + kTile - 1) / kTile;
  const std::int32_t count = tile_count(p.tiles, column_tiles);
  const int m = static_cast<int>(threadIdx.x) / 16 * kSide;
  const int n = static_cast<int>(threadIdx.x) % 16 * kSide;
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < count;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const RowTile tile = row_tile<kPlainTileRows>(p.tiles, column_tiles, index);
    const std::int32_t column = tile.column_tile * kTile;
    const float* weight = p.weight + static_cast<std::int64_t>(tile.expert) * p.columns * p.depth;
    const Matrix left{p.rows + static_cast<std::int64_t>(tile.row) * p.depth, tile.rows, p.depth, 1};
    const Matrix right =
        p.forward ? Matrix{weight, p.columns, p.depth, 1} : Matrix{weight, p.columns, 1, p.columns};
    float* result = p.result + static_cast<std::int64_t>(tile.row + m) * p.columns + column + n;
    Sums sums;
#pragma unroll
    for (int i = 0; i < kSide; ++i)
#pragma unroll
      for (int j = 0; j < kSide; ++j) {
        const bool inside = m + i < tile.rows && column + n + j < p.columns;
        sums[i][j] = p.add && inside ? result[static_cast<std::int64_t>(i) * p.columns + j] : 0.0F;
      }
    multiply(sums, left, 0, right, column, p.depth);
#pragma unroll
    for (int i = 0; i < kSide; ++i)
#pragma unroll
      for (int j = 0; j < kSide; ++j)
        if (m + i < tile.rows && column + n + j < p.columns)
          result[static_cast<std::int64_t>(i) * p.columns + j] = sums[i][j];
  }
}

struct GradientArguments {
  GradientBlocks plan;
  GradientTiles<kTile, kTile> tiles;
  GridSum dweight;
  const float* dy;
  const float* x;
};

__global__ void __launch_bounds__(kThreads, 1) grouped_gradient_plain_kernel(const GradientArguments p) {
  const auto bound = static_cast<float>(p.dweight.limit);
  const int m = static_cast<int>(threadIdx.x) / 16 * kSide;
  const int n = static_cast<int>(threadIdx.x) % 16 * kSide;
  const std::int32_t O = p.tiles.out;
  const std::int32_t I = p.tiles.in;
  std::int32_t refused = 0;
  const std::int32_t count = p.tiles.count();
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < count;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const GradientTile item = p.tiles.tile(p.plan, index);
    if (item.begin == item.end) continue;
    std::int64_t totals[kSide][kSide] = {};
    for (std::int32_t b = item.begin; b < item.end; ++b) {
      const GradientBlock block = p.plan.blocks[b];
      Sums sums = {};
      multiply(sums, {p.dy + static_cast<std::int64_t>(block.first) * O, O, 1, O}, item.out,
               {p.x + static_cast<std::int64_t>(block.first) * I, I, 1, I}, item.in, block.rows);
#pragma unroll
      for (int i = 0; i < kSide; ++i)
#pragma unroll
        for (int j = 0; j < kSide; ++j)
          if (item.out + m + i < O && item.in + n + j < I) {
            totals[i][j] += to_grid(sums[i][j], bound);
            if (!fits_grid(sums[i][j], bound)) ++refused;
          }
    }
#pragma unroll
    for (int i = 0; i < kSide; ++i)
#pragma unroll
      for (int j = 0; j < kSide; ++j)
        if (item.out + m + i < O && item.in + n + j < I)
          add_exactly(p.dweight.sums + (static_cast<std::int64_t>(item.expert) * O + item.out + m + i) * I +
                          item.in + n + j,
                      totals[i][j]);
  }
  if (refused > 0) add_exactly(p.dweight.overflow, refused);
}

}  // namespace

void rows_plain(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors) {
  const RowsArguments arguments{tiles,
                                static_cast<float*>(product.result),
                                static_cast<const float*>(product.rows),
                                static_cast<const float*>(product.weight),
                                static_cast<std::int32_t>(product.depth),
                                static_cast<std::int32_t>(product.columns),
                                product.direction == Direction::forward,
                                product.add};
  launch(stream, "grouped_rows_plain", {static_cast<unsigned>(4 * processors), kThreads},
         grouped_rows_plain_kernel, arguments);
}

void gradient_plain(cudaStream_t stream, const GradientProduct& product, const GradientBlocks& blocks,
                    int processors) {
  const std::int64_t tiles =
      product.experts * ((product.out + kTile - 1) / kTile) * ((product.in + kTile - 1) / kTile);
  const GradientArguments arguments{
      blocks, gradient_tiles<kTile, kTile>(product, gradient_splits(tiles, 4 * processors, product.M)),
      product.dweight, static_cast<const float*>(product.dy), static_cast<const float*>(product.x)};
  launch(stream, "grouped_gradient_plain", {static_cast<unsigned>(4 * processors), kThreads},
         grouped_gradient_plain_kernel, arguments);
}

}  // namespace switchyard::kernels::cuda
