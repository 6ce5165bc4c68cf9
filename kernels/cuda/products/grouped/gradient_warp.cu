// Weight gradient of grouped products by the matrix instruction of a warp: fp32 within a block of rows,
// 64-bit integers over blocks.
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/shared_memory.h"
#include "kernels/cuda/products/grouped/exact_add.h"
#include "kernels/cuda/products/grouped/forms.h"
#include "kernels/cuda/products/grouped/row_tile.h"
#include "kernels/cuda/products/grouped/warp_tile.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kRows = 128;
constexpr int kColumns = 64;
using Tile = WarpTile<Line::across_depth, Line::across_depth, kColumns>;
using Tiles = GradientTiles<kRows, kColumns>;

struct GradientArguments {
  GradientBlocks plan;
  Tiles tiles;
  GridSum dweight;
  const __nv_bfloat16* dy;
  const __nv_bfloat16* x;
  bool wide_dy;
  bool wide_x;
};

using Totals = std::int64_t[2][Tile::kBlocks][4];

// Where the thread's element (m, n, i) of a tile lies, and whether that is inside the weight.
struct Element {
  std::int32_t out;
  std::int32_t in;
  bool inside;
};
__device__ Element element(const GradientArguments& a, const GradientTile& item, int m, int n, int i) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int32_t out = item.out + Tile::first_row() + 16 * m + lane / 4 + 8 * (i / 2);
  const std::int32_t in = item.in + Tile::first_column() + 8 * n + lane % 4 * 2 + i % 2;
  return {out, in, out < a.tiles.out && in < a.tiles.in};
}

__device__ void add_totals(const Totals& totals, const GradientTile& item, const GradientArguments& a) {
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < Tile::kBlocks; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Element at = element(a, item, m, n, i);
        if (at.inside)
          add_exactly(a.dweight.sums +
                          (static_cast<std::int64_t>(item.expert) * a.tiles.out + at.out) * a.tiles.in +
                          at.in,
                      totals[m][n][i]);
      }
}

__global__ void __launch_bounds__(kWarpBlockThreads) grouped_gradient_warp_kernel(const GradientArguments a) {
  auto* shared = dynamic_shared<__nv_bfloat16>();
  const auto bound = static_cast<float>(a.dweight.limit);
  std::int32_t refused = 0;
  const std::int32_t count = a.tiles.count();
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < count;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const GradientTile item = a.tiles.tile(a.plan, index);
    if (item.begin == item.end) continue;
    Totals totals = {};
    for (std::int32_t b = item.begin; b < item.end; ++b) {
      const GradientBlock block = a.plan.blocks[b];
      const Operand dy{a.dy + static_cast<std::int64_t>(block.first) * a.tiles.out, block.rows, a.tiles.out,
                       a.wide_dy};
      const Operand x{a.x + static_cast<std::int64_t>(block.first) * a.tiles.in, block.rows, a.tiles.in,
                      a.wide_x};
      Tile::Sums sums;
      Tile::multiply(sums, shared, dy, item.out, x, item.in, 0, block.rows);
#pragma unroll
      for (int m = 0; m < 2; ++m)
#pragma unroll
        for (int n = 0; n < Tile::kBlocks; ++n)
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            totals[m][n][i] += to_grid(sums[m][n][i], bound);
            if (!fits_grid(sums[m][n][i], bound) && element(a, item, m, n, i).inside) ++refused;
          }
    }
    add_totals(totals, item, a);
  }
  if (refused > 0) add_exactly(a.dweight.overflow, refused);
}

}  // namespace

void gradient_warp(cudaStream_t stream, const GradientProduct& product, const GradientBlocks& blocks,
                   int processors) {
  const std::int64_t tiles =
      product.experts * ((product.out + kRows - 1) / kRows) * ((product.in + kColumns - 1) / kColumns);
  const GradientArguments arguments{
      blocks,
      gradient_tiles<kRows, kColumns>(product, gradient_splits(tiles, 2 * processors, product.M)),
      product.dweight,
      static_cast<const __nv_bfloat16*>(product.dy),
      static_cast<const __nv_bfloat16*>(product.x),
      is_wide_operand(product.dy, product.out),
      is_wide_operand(product.x, product.in)};
  launch(stream, "grouped_gradient_warp",
         {static_cast<unsigned>(2 * processors), kWarpBlockThreads, Tile::kSharedBytes},
         grouped_gradient_warp_kernel, arguments);
}

}  // namespace switchyard::kernels::cuda
