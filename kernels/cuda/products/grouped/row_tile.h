// Which part of a grouped product a thread block works on next. Device code.
#pragma once

#include "kernels/cuda/products/grouped/kernels.h"

namespace switchyard::kernels::cuda {

/// A tile of the result of a product of rows.
struct RowTile {
  std::int32_t expert;
  std::int32_t row;   ///< first row
  std::int32_t rows;  ///< that the segment has from there on, at most the height of a tile
  std::int32_t column_tile;
};

__device__ inline std::int32_t tile_count(const RowTiles& tiles, std::int32_t column_tiles) {
  return tiles.tile_begin[tiles.count] * column_tiles;
}

/// Tiles of one segment follow each other, those that share a piece of the weight first.
template <int kTileRows>
__device__ inline RowTile row_tile(const RowTiles& tiles, std::int32_t column_tiles, std::int32_t index) {
  const std::int32_t strip = index / column_tiles;
  std::int32_t low = 0;  // the last segment whose first tile is not after `strip`
  std::int32_t high = tiles.count;
  while (high - low > 1) {
    const std::int32_t middle = (low + high) / 2;
    (tiles.tile_begin[middle] <= strip ? low : high) = middle;
  }
  const Segment segment = tiles.segments[low];
  const std::int32_t begin = tiles.tile_begin[low];
  const std::int32_t strips = tiles.tile_begin[low + 1] - begin;
  const std::int32_t within = index - begin * column_tiles;
  const std::int32_t row = within % strips * kTileRows;
  const std::int32_t left = segment.rows - row;
  return {segment.expert, segment.first + row, left < kTileRows ? left : kTileRows, within / strips};
}

/// A tile of a weight's gradient and the blocks [begin, end) of rows that are added to it here.
struct GradientTile {
  std::int32_t expert;
  std::int32_t out;  ///< first row of the tile
  std::int32_t in;   ///< first column
  std::int32_t begin;
  std::int32_t end;
};

/// How a gradient is cut into tiles of kRows x kColumns, each dealt to `splits` thread blocks.
template <int kRows, int kColumns>
struct GradientTiles {
  std::int32_t experts;
  std::int32_t out;
  std::int32_t in;
  std::int32_t splits;

  __device__ std::int32_t out_tiles() const { return (out + kRows - 1) / kRows; }
  __device__ std::int32_t in_tiles() const { return (in + kColumns - 1) / kColumns; }
  __device__ std::int32_t count() const { return experts * out_tiles() * in_tiles() * splits; }

  __device__ GradientTile tile(const GradientBlocks& plan, std::int32_t index) const {
    const std::int32_t split = index % splits;
    const std::int32_t whole = index / splits;
    const std::int32_t expert = whole / (in_tiles() * out_tiles());
    const std::int32_t first = plan.expert_begin[expert];
    const std::int64_t blocks = plan.expert_begin[expert + 1] - first;
    return {expert, whole / in_tiles() % out_tiles() * kRows, whole % in_tiles() * kColumns,
            first + static_cast<std::int32_t>(blocks * split / splits),
            first + static_cast<std::int32_t>(blocks * (split + 1) / splits)};
  }
};

/// For the host: tiles and splits of a product.
template <int kRows, int kColumns>
GradientTiles<kRows, kColumns> gradient_tiles(const GradientProduct& product, int splits) {
  return {static_cast<std::int32_t>(product.experts), static_cast<std::int32_t>(product.out),
          static_cast<std::int32_t>(product.in), splits};
}

}  // namespace switchyard::kernels::cuda
