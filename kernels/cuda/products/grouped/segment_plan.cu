#include "kernels/cuda/products/grouped/segment_plan.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/ops/gradient_grid.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;

// Sum of the values of the threads before this one. `partial` holds kThreads values; all threads call it.
__device__ std::int32_t sum_before(std::int32_t value, std::int32_t* partial) {
  const int me = static_cast<int>(threadIdx.x);
  partial[me] = value;
  __syncthreads();
  for (int distance = 1; distance < kThreads; distance *= 2) {
    const std::int32_t other = me >= distance ? partial[me - distance] : 0;
    __syncthreads();
    partial[me] += other;
    __syncthreads();
  }
  const std::int32_t before = partial[me] - value;
  __syncthreads();
  return before;
}

// begin[i] = sum of count(j) for j < i, also for i = n. Each thread owns a run of neighbours.
template <typename Count>
__device__ void scan(std::int32_t* begin, std::int32_t n, std::int32_t* partial, Count count) {
  const std::int32_t run = (n + kThreads - 1) / kThreads;
  const std::int32_t first = min(n, static_cast<std::int32_t>(threadIdx.x) * run);
  const std::int32_t end = min(n, first + run);
  std::int32_t own = 0;
  for (std::int32_t i = first; i < end; ++i) own += count(i);
  std::int32_t at = sum_before(own, partial);
  for (std::int32_t i = first; i < end; ++i) {
    const std::int32_t here = count(i);
    begin[i] = at;
    at += here;
  }
  if (end == n && first < end) begin[n] = at;
  if (n == 0 && threadIdx.x == 0) begin[0] = 0;
  __syncthreads();
}

__device__ std::int32_t pieces(std::int32_t rows, std::int32_t height) {
  return (rows + height - 1) / height;
}

__global__ void __launch_bounds__(kThreads)
    row_tiles_kernel(std::int32_t* tile_begin, const Segment* segments, std::int32_t count,
                     std::int32_t tile_rows) {
  __shared__ std::int32_t partial[kThreads];
  scan(tile_begin, count, partial, [&](std::int32_t s) { return pieces(segments[s].rows, tile_rows); });
}

// Counts, places and fills; `next` (experts) and `expert_begin` are global memory that this one block owns.
__global__ void __launch_bounds__(kThreads)
    gradient_blocks_kernel(std::int32_t* expert_begin, std::int32_t* next, GradientBlock* blocks,
                           const Segment* segments, std::int32_t count, std::int32_t experts) {
  __shared__ std::int32_t partial[kThreads];
  constexpr auto kRows = static_cast<std::int32_t>(kGradientBlockRows);
  const int me = static_cast<int>(threadIdx.x);
  for (std::int32_t e = me; e < experts; e += kThreads) next[e] = 0;
  __syncthreads();
  for (std::int32_t s = me; s < count; s += kThreads)
    atomicAdd(&next[segments[s].expert], pieces(segments[s].rows, kRows));
  __syncthreads();
  scan(expert_begin, experts, partial, [&](std::int32_t e) { return next[e]; });
  for (std::int32_t e = me; e < experts; e += kThreads) next[e] = expert_begin[e];
  __syncthreads();
  for (std::int32_t s = me; s < count; s += kThreads) {
    const Segment segment = segments[s];
    std::int32_t at = atomicAdd(&next[segment.expert], pieces(segment.rows, kRows));
    for (std::int32_t row = 0; row < segment.rows; row += kRows)
      blocks[at++] = {segment.first + row, min(kRows, segment.rows - row)};
  }
}

}  // namespace

void plan_row_tiles(cudaStream_t stream, const RowTiles& tiles, int tile_rows) {
  launch(stream, "row_tiles", {1, kThreads}, row_tiles_kernel, tiles.tile_begin, tiles.segments, tiles.count,
         tile_rows);
}

void plan_gradient_blocks(cudaStream_t stream, const GradientBlocks& plan, std::int32_t* next,
                          const Segment* segments, std::int32_t count, std::int32_t experts) {
  launch(stream, "gradient_blocks", {1, kThreads}, gradient_blocks_kernel, plan.expert_begin, next,
         plan.blocks, segments, count, experts);
}

}  // namespace switchyard::kernels::cuda
