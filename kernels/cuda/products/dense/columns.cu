#include "kernels/cuda/products/dense/columns.h"

#include "kernels/cuda/device/grid.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/numbers.h"
#include "kernels/cuda/device/types.h"
#include "kernels/ops/gradient_grid.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    add_bias_kernel(T* y, const float* sums, const float* bias, std::int64_t elements, std::int64_t O) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < elements) y[i] = from_float<T>(sums[i] + bias[i % O]);
}

// A thread owns a column of one block of rows.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    bias_gradient_kernel(const GridSum dbias, const T* dy, std::int64_t N, std::int64_t O) {
  const std::int64_t column = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= O) return;
  for (std::int64_t first = std::int64_t{blockIdx.y} * kGradientBlockRows; first < N;
       first += std::int64_t{gridDim.y} * kGradientBlockRows) {
    const std::int64_t end = first + kGradientBlockRows < N ? first + kGradientBlockRows : N;
    float sum = 0;
    for (std::int64_t row = first; row < end; ++row) sum += to_float(dy[row * O + column]);
    add_to_grid(dbias, column, sum);
  }
}

__global__ void __launch_bounds__(kThreads) one_segment_kernel(const GradientBlocks plan, std::int32_t rows) {
  constexpr auto kRows = static_cast<std::int32_t>(kGradientBlockRows);
  const std::int32_t count = (rows + kRows - 1) / kRows;
  const auto first = static_cast<std::int32_t>(blockIdx.x * kThreads + threadIdx.x);
  if (first == 0) plan.expert_begin[0] = 0;
  if (first == 0) plan.expert_begin[1] = count;
  for (std::int32_t b = first; b < count; b += static_cast<std::int32_t>(gridDim.x) * kThreads)
    plan.blocks[b] = {b * kRows, rows - b * kRows < kRows ? rows - b * kRows : kRows};
}

__global__ void one_segment_tiles_kernel(Segment* segment, std::int32_t* tile_begin, std::int32_t rows,
                                         std::int32_t tile_rows) {
  *segment = {0, 0, rows};
  tile_begin[0] = 0;
  tile_begin[1] = (rows + tile_rows - 1) / tile_rows;
}

}  // namespace

void add_bias(cudaStream_t stream, void* y, DType dtype, const float* sums, const float* bias, std::int64_t N,
              std::int64_t O) {
  with_float_type(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    launch(stream, "add_bias", {blocks_for(N * O, kThreads), kThreads}, add_bias_kernel<T>,
           static_cast<T*>(y), sums, bias, N * O, O);
  });
}

void add_bias_gradient(cudaStream_t stream, const GridSum& dbias, const void* dy, DType dtype, std::int64_t N,
                       std::int64_t O) {
  constexpr unsigned kMostBlocks = 1024;
  const unsigned blocks = blocks_for(N, kGradientBlockRows);
  with_float_type(dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    launch(stream, "bias_gradient",
           {dim3(blocks_for(O, kThreads), blocks < kMostBlocks ? blocks : kMostBlocks), kThreads},
           bias_gradient_kernel<T>, dbias, static_cast<const T*>(dy), N, O);
  });
}

void plan_one_segment(cudaStream_t stream, const GradientBlocks& plan, std::int64_t N) {
  launch(stream, "one_segment", {blocks_for(N, kGradientBlockRows * kThreads), kThreads}, one_segment_kernel,
         plan, static_cast<std::int32_t>(N));
}

void plan_one_segment(cudaStream_t stream, Segment* segment, std::int32_t* tile_begin, std::int64_t N,
                      int tile_rows) {
  launch(stream, "one_segment_tiles", {1, 1}, one_segment_tiles_kernel, segment, tile_begin,
         static_cast<std::int32_t>(N), tile_rows);
}

}  // namespace switchyard::kernels::cuda
