// Weight gradient of grouped products on Hopper: dweight (out, in) += dy^T * x, both read as they lie, with
// the reduction over rows across the lines. A thread block owns a tile of 128 x 128 and walks over blocks of
// 256 rows of one expert: fp32 within a block, from its first row on in steps of 16, then 64-bit integers in
// registers, added to memory once at the end. Exact sums let blocks be dealt to several thread blocks.
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/instructions/tensor_copy.h"
#include "kernels/cuda/instructions/warpgroup_matrix.h"
#include "kernels/cuda/products/grouped/exact_add.h"
#include "kernels/cuda/products/grouped/forms.h"
#include "kernels/cuda/products/grouped/row_tile.h"
#include "kernels/cuda/products/grouped/warpgroup_pipeline.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kTile = 128;
constexpr int kChunks = kTile / kChunkElements;
constexpr int kChunkBytes = kStageDepth * kLineBytes;
constexpr int kOperandBytes = kChunks * kChunkBytes;
constexpr int kStages = 6;
using GradientRing = Ring<kStages, 2 * kOperandBytes>;

using Tiles = GradientTiles<kTile, kTile>;

struct GradientArguments {
  GradientBlocks plan;
  Tiles tiles;
  GridSum dweight;
};

__device__ std::int32_t stages_of(std::int32_t rows) {
  return (rows + kStageDepth - 1) / kStageDepth;
}

__device__ void bring_blocks(const GradientRing& ring, const TensorMap& dy_map, const TensorMap& x_map,
                             const GradientArguments& a) {
  RingPlace place;
  const std::int32_t count = a.tiles.count();
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < count;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const GradientTile item = a.tiles.tile(a.plan, index);
    for (std::int32_t b = item.begin; b < item.end; ++b) {
      const GradientBlock block = a.plan.blocks[b];
      for (std::int32_t step = 0; step < stages_of(block.rows); ++step) {
        const std::int32_t row = block.first + step * kStageDepth;
        unsigned char* dy = ring.fill(place);
        Barrier* full = ring.full + place.stage;
        for (int chunk = 0; chunk < kChunks; ++chunk) {
          copy_box(dy + chunk * kChunkBytes, dy_map, 0, row, item.out + chunk * kChunkElements, full);
          copy_box(dy + kOperandBytes + chunk * kChunkBytes, x_map, 0, row, item.in + chunk * kChunkElements,
                   full);
        }
        place.advance(kStages);
      }
    }
  }
}

// The lines after the block's last row belong to other segments: they must add nothing, whatever they hold.
__device__ void clear_lines(unsigned char* stage, std::int32_t first_line, int thread) {
  constexpr int kPieces = kLineBytes / 16;
  const int count = (kStageDepth - first_line) * kPieces;
  for (int i = thread; i < 2 * kChunks * count; i += kMultiplyThreads) {
    unsigned char* chunk = stage + i / count * kChunkBytes;
    *reinterpret_cast<uint4*>(chunk + first_line * kLineBytes + i % count * 16) = make_uint4(0, 0, 0, 0);
  }
  fence_async_proxy();
  named_barrier(1, kMultiplyThreads);
}

// sums (64 x 128 of a warpgroup, in registers) = dy^T * x of one block of rows.
__device__ void multiply_block(const GradientRing& ring, RingPlace& place, float (&sums)[kTile / 2],
                               std::int32_t rows, int thread) {
  int unread = -1;
  for (std::int32_t step = 0; step < stages_of(rows); ++step) {
    unsigned char* memory = ring.take(place);
    const std::int32_t lines = rows - step * kStageDepth;
    if (lines < kStageDepth) clear_lines(memory, lines, thread);
    const std::uint32_t x = shared_address(memory) + kOperandBytes;
    const std::uint32_t dy =
        shared_address(memory) + static_cast<std::uint32_t>(thread / kWarpgroupThreads * kChunkBytes);
    warpgroup_fence();
#pragma unroll
    for (int k = 0; k < kStageDepth / kMultiplyDepth; ++k)
      multiply_warpgroup<Line::across_depth, Line::across_depth>(
          sums, matrix_descriptor<Line::across_depth>(dy, k, kChunkBytes),
          matrix_descriptor<Line::across_depth>(x, k, kChunkBytes), step > 0 || k > 0);
    warpgroup_commit();
    warpgroup_wait<1>();
    if (unread >= 0) ring.release(unread);
    unread = place.stage;
    place.advance(kStages);
  }
  warpgroup_wait<0>();
  ring.release(unread);
}

// Where the thread's element i of a tile lies, and whether that is inside the weight.
struct Element {
  std::int32_t out;
  std::int32_t in;
  bool inside;
};
__device__ Element element(const GradientArguments& a, const GradientTile& item, int thread, int i) {
  const std::int32_t out = item.out + thread / 32 * 16 + thread % 32 / 4 + 8 * (i % 4 / 2);
  const std::int32_t in = item.in + thread % 4 * 2 + 8 * (i / 4) + i % 2;
  return {out, in, out < a.tiles.out && in < a.tiles.in};
}

__device__ void add_tile(const GradientArguments& a, const GradientTile& item,
                         const std::int64_t (&totals)[kTile / 2], int thread) {
#pragma unroll
  for (int i = 0; i < kTile / 2; ++i) {
    const Element at = element(a, item, thread, i);
    if (at.inside)
      add_exactly(a.dweight.sums +
                      (static_cast<std::int64_t>(item.expert) * a.tiles.out + at.out) * a.tiles.in + at.in,
                  totals[i]);
  }
}

__device__ void multiply_blocks(const GradientRing& ring, const GradientArguments& a) {
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroupThreads;
  RingPlace place;
  const auto bound = static_cast<float>(a.dweight.limit);
  std::int32_t refused = 0;
  const std::int32_t count = a.tiles.count();
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < count;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const GradientTile item = a.tiles.tile(a.plan, index);
    if (item.begin == item.end) continue;
    std::int64_t totals[kTile / 2] = {};
    for (std::int32_t b = item.begin; b < item.end; ++b) {
      float sums[kTile / 2];
      multiply_block(ring, place, sums, a.plan.blocks[b].rows, thread);
#pragma unroll
      for (int i = 0; i < kTile / 2; ++i) {
        totals[i] += to_grid(sums[i], bound);
        if (!fits_grid(sums[i], bound) && element(a, item, thread, i).inside) ++refused;
      }
    }
    add_tile(a, item, totals, thread);
  }
  if (refused > 0) add_exactly(a.dweight.overflow, refused);
}

__global__ void __launch_bounds__(kBlockThreads, 1)
    grouped_gradient_warpgroup_kernel(const __grid_constant__ TensorMap dy_map,
                                      const __grid_constant__ TensorMap x_map, const GradientArguments a) {
  const GradientRing ring = GradientRing::open();
  if (threadIdx.x < kWarpgroupThreads) {
    give_registers_back<kCopyRegisters>();
    if (threadIdx.x == 0) bring_blocks(ring, dy_map, x_map, a);
  } else {
    take_registers<kMultiplyRegisters>();
    multiply_blocks(ring, a);
  }
}

}  // namespace

void gradient_warpgroup(cudaStream_t stream, const GradientProduct& product, const GradientBlocks& blocks,
                        int processors) {
  const std::int64_t tiles =
      product.experts * ((product.out + kTile - 1) / kTile) * ((product.in + kTile - 1) / kTile);
  const GradientArguments arguments{
      blocks, gradient_tiles<kTile, kTile>(product, gradient_splits(tiles, processors, product.M)),
      product.dweight};
  launch(stream, "grouped_gradient_warpgroup",
         {static_cast<unsigned>(processors), kBlockThreads, GradientRing::kBytes},
         grouped_gradient_warpgroup_kernel,
         make_tensor_map(product.dy, 1, product.M, product.out, kStageDepth),
         make_tensor_map(product.x, 1, product.M, product.in, kStageDepth), arguments);
}

}  // namespace switchyard::kernels::cuda
