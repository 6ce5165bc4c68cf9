// Forward and data gradient of grouped products on Hopper. Persistent thread blocks take tiles of 128 rows of
// a segment by kColumns columns; a reduction goes in steps of 16 over the depth, from 0 up, whatever the
// tile, so a row's bits depend on the row, the weight and the depth.
//
// Rows past a segment's end are the next segment's, multiplied and not stored: a row of the result needs only
// its own row.
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/instructions/bf16_words.h"
#include "kernels/cuda/instructions/tensor_copy.h"
#include "kernels/cuda/instructions/warpgroup_matrix.h"
#include "kernels/cuda/products/grouped/forms.h"
#include "kernels/cuda/products/grouped/row_tile.h"
#include "kernels/cuda/products/grouped/warpgroup_pipeline.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kTileRows = kWarpgroupTileRows;
constexpr int kRowsBytes = kTileRows * kLineBytes;
constexpr int kChunkBytes = kStageDepth * kLineBytes;  // 64 columns of a weight that lies across the depth

struct RowsArguments {
  RowTiles tiles;
  __nv_bfloat16* result;
  std::int32_t columns;
  std::int32_t column_tiles;
  std::int32_t steps;  // stages of the whole depth
};

// As many as the shared memory of a processor holds.
template <int kColumns>
constexpr int kStages = kColumns == 256 ? 4 : 6;
template <int kColumns>
using RowsRing = Ring<kStages<kColumns>, kRowsBytes + kColumns * kLineBytes>;

template <int kColumns, Line kWeightLine>
__device__ void bring_tiles(const RowsRing<kColumns>& ring, const TensorMap& rows_map,
                            const TensorMap& weight_map, const RowsArguments& a) {
  RingPlace place;
  const std::int32_t tiles = tile_count(a.tiles, a.column_tiles);
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < tiles;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const RowTile tile = row_tile<kTileRows>(a.tiles, a.column_tiles, index);
    const std::int32_t column = tile.column_tile * kColumns;
    for (std::int32_t step = 0; step < a.steps; ++step) {
      const std::int32_t depth = step * kStageDepth;
      unsigned char* rows = ring.fill(place);
      unsigned char* weight = rows + kRowsBytes;
      Barrier* full = ring.full + place.stage;
      copy_box(rows, rows_map, 0, tile.row, depth, full);
      if constexpr (kWeightLine == Line::along_depth) {
        copy_box(weight, weight_map, tile.expert, column, depth, full);
      } else {
        for (int chunk = 0; chunk < kColumns / kChunkElements; ++chunk)
          copy_box(weight + chunk * kChunkBytes, weight_map, tile.expert, depth,
                   column + chunk * kChunkElements, full);
      }
      place.advance(kStages<kColumns>);
    }
  }
}

// One warpgroup's 64 rows of a tile, from its registers (see multiply_warpgroup) to memory, 16 bytes a lane.
template <int kColumns>
__device__ void store_tile(const float (&sums)[kColumns / 2], const RowTile& tile, const RowsArguments& a,
                           int first_row, int lane) {
  const std::int32_t column = tile.column_tile * kColumns;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int32_t row = first_row + lane / 4 + 8 * half;
    __nv_bfloat16* out = a.result + static_cast<std::int64_t>(tile.row + row) * a.columns;
#pragma unroll
    for (int group = 0; group < kColumns / 32; ++group) {
      std::uint32_t words[4];
#pragma unroll
      for (int b = 0; b < 4; ++b)
        words[b] = bf16_pair(sums[4 * (4 * group + b) + 2 * half], sums[4 * (4 * group + b) + 2 * half + 1]);
      transpose_quad(words, lane);
      const std::int32_t at = column + 32 * group + 8 * (lane % 4);
      if (row < tile.rows && at < a.columns)
        *reinterpret_cast<uint4*>(out + at) = make_uint4(words[0], words[1], words[2], words[3]);
    }
  }
}

template <int kColumns, Line kWeightLine>
__device__ void multiply_tiles(const RowsRing<kColumns>& ring, const RowsArguments& a) {
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroupThreads;
  const int warpgroup = thread / kWarpgroupThreads;
  const int first_row = thread / 32 * 16;
  RingPlace place;
  const std::int32_t tiles = tile_count(a.tiles, a.column_tiles);
  for (auto index = static_cast<std::int32_t>(blockIdx.x); index < tiles;
       index += static_cast<std::int32_t>(gridDim.x)) {
    const RowTile tile = row_tile<kTileRows>(a.tiles, a.column_tiles, index);
    float sums[kColumns / 2];
    int unread = -1;  // the stage of the multiplies under way
    for (std::int32_t step = 0; step < a.steps; ++step) {
      const std::uint32_t stage = shared_address(ring.take(place));
      const std::uint32_t rows = stage + static_cast<std::uint32_t>(warpgroup * kRowsBytes / 2);
      const std::uint32_t weight = stage + kRowsBytes;
      warpgroup_fence();
#pragma unroll
      for (int k = 0; k < kStageDepth / kMultiplyDepth; ++k)
        multiply_warpgroup<Line::along_depth, kWeightLine>(
            sums, matrix_descriptor<Line::along_depth>(rows, k, 0),
            matrix_descriptor<kWeightLine>(weight, k, kChunkBytes), step > 0 || k > 0);
      warpgroup_commit();
      warpgroup_wait<1>();
      if (unread >= 0) ring.release(unread);
      unread = place.stage;
      place.advance(kStages<kColumns>);
    }
    warpgroup_wait<0>();
    if (unread >= 0) ring.release(unread);
    store_tile<kColumns>(sums, tile, a, first_row, thread % 32);
  }
}

template <int kColumns, Line kWeightLine>
__global__ void __launch_bounds__(kBlockThreads, 1)
    grouped_rows_warpgroup_kernel(const __grid_constant__ TensorMap rows_map,
                                  const __grid_constant__ TensorMap weight_map, const RowsArguments a) {
  const auto ring = RowsRing<kColumns>::open();
  if (threadIdx.x < kWarpgroupThreads) {
    give_registers_back<kCopyRegisters>();
    if (threadIdx.x == 0) bring_tiles<kColumns, kWeightLine>(ring, rows_map, weight_map, a);
  } else {
    take_registers<kMultiplyRegisters>();
    multiply_tiles<kColumns, kWeightLine>(ring, a);
  }
}

template <int kColumns, Line kWeightLine>
void run(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors) {
  const auto columns = static_cast<std::int32_t>(product.columns);
  const RowsArguments arguments{tiles, static_cast<__nv_bfloat16*>(product.result), columns,
                                (columns + kColumns - 1) / kColumns,
                                static_cast<std::int32_t>((product.depth + kStageDepth - 1) / kStageDepth)};
  constexpr bool kAlong = kWeightLine == Line::along_depth;
  const TensorMap rows_map = make_tensor_map(product.rows, 1, product.M, product.depth, kTileRows);
  const TensorMap weight_map =
      make_tensor_map(product.weight, product.experts, kAlong ? product.columns : product.depth,
                      kAlong ? product.depth : product.columns, kAlong ? kColumns : kStageDepth);
  launch(stream, "grouped_rows_warpgroup",
         {static_cast<unsigned>(processors), kBlockThreads, RowsRing<kColumns>::kBytes},
         grouped_rows_warpgroup_kernel<kColumns, kWeightLine>, rows_map, weight_map, arguments);
}

template <Line kWeightLine>
void run(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors) {
  if (warpgroup_tile_columns(product.columns) == 256) {
    run<256, kWeightLine>(stream, product, tiles, processors);
  } else {
    run<128, kWeightLine>(stream, product, tiles, processors);
  }
}

}  // namespace

void rows_warpgroup(cudaStream_t stream, const RowsProduct& product, const RowTiles& tiles, int processors) {
  if (product.direction == Direction::forward) {
    run<Line::along_depth>(stream, product, tiles, processors);
  } else {
    run<Line::across_depth>(stream, product, tiles, processors);
  }
}

}  // namespace switchyard::kernels::cuda
