// What a grouped product must know of its segments, worked out on the device from the device's own table:
// routing counts never visit the host.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace switchyard::kernels::cuda {

/// One entry of the table of ops/grouped_linear.h.
struct Segment {
  std::int32_t expert;
  std::int32_t first;
  std::int32_t rows;
};

/// Tiles of rows: segment s has tiles tile_begin[s] .. tile_begin[s + 1], the last one perhaps not full.
struct RowTiles {
  const Segment* segments;   ///< (count)
  std::int32_t* tile_begin;  ///< (count + 1)
  std::int32_t count;
};

/// Blocks of gradient rows, those of one expert together, in any order (their sums are exact): those of
/// expert e are expert_begin[e] .. expert_begin[e + 1].
struct GradientBlock {
  std::int32_t first;
  std::int32_t rows;  ///< 1 .. kGradientBlockRows
};
struct GradientBlocks {
  std::int32_t* expert_begin;  ///< (experts + 1)
  GradientBlock* blocks;       ///< (rows / kGradientBlockRows + segments)
};

/// Fills tiles.tile_begin for tiles of `tile_rows` rows.
void plan_row_tiles(cudaStream_t stream, const RowTiles& tiles, int tile_rows);
/// Fills `plan`; `next` (experts) is scratch.
void plan_gradient_blocks(cudaStream_t stream, const GradientBlocks& plan, std::int32_t* next,
                          const Segment* segments, std::int32_t count, std::int32_t experts);

}  // namespace switchyard::kernels::cuda
