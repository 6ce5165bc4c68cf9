// rms_norm on the GPU: one warp per row; lane l holds the packs l, l + 32, ... of the row, in order, and then
// the lanes are added as a tree: the order depends on C alone.
#include "kernels/cuda/rows/rms_norm.h"

#include "kernels/cuda/device/grid.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/types.h"
#include "kernels/cuda/device/vectors.h"
#include "kernels/ops/gradient_grid.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarp;

template <typename A>
__global__ void __launch_bounds__(kThreads)
    rms_norm_forward_warp_per_row(A* y, float* rstd, const A* x, const float* weight, std::int64_t N,
                                  std::int64_t C, float epsilon) {
  const std::int64_t n = std::int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (n >= N) return;  // whole warps leave
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool wide = is_wide(x, C) && is_wide(y, C) && is_wide(weight, C);
  float squares = 0;
  for (std::int64_t c = lane * kPack; c < C; c += kWarp * kPack) {
    const Pack pack = load(x + n * C + c, pack_size(C, c), wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i) squares = fmaf(pack.v[i], pack.v[i], squares);
  }
  const float scale = 1.0F / sqrtf(warp_sum(squares) / static_cast<float>(C) + epsilon);
  if (lane == 0) rstd[n] = scale;
  for (std::int64_t c = lane * kPack; c < C; c += kWarp * kPack) {
    Pack pack = load(x + n * C + c, pack_size(C, c), wide);
    const Pack gain = load(weight + c, pack_size(C, c), wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i) pack.v[i] = pack.v[i] * scale * gain.v[i];
    store(y + n * C + c, pack, pack_size(C, c), wide);
  }
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward_warp_per_row(A* dx, const A* dy, const A* x, const float* weight, const float* rstd,
                                   const A* dresidual, std::int64_t N, std::int64_t C) {
  const std::int64_t n = std::int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (n >= N) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool wide = is_wide(x, C) && is_wide(dx, C) && is_wide(dy, C) && is_wide(weight, C) &&
                    (dresidual == nullptr || is_wide(dresidual, C));
  const float scale = rstd[n];
  float dots = 0;
  for (std::int64_t c = lane * kPack; c < C; c += kWarp * kPack) {
    const Pack d = load(dy + n * C + c, pack_size(C, c), wide);
    const Pack value = load(x + n * C + c, pack_size(C, c), wide);
    const Pack gain = load(weight + c, pack_size(C, c), wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i) dots = fmaf(d.v[i] * gain.v[i], value.v[i] * scale, dots);
  }
  const float mean = warp_sum(dots) / static_cast<float>(C);
  for (std::int64_t c = lane * kPack; c < C; c += kWarp * kPack) {
    Pack d = load(dy + n * C + c, pack_size(C, c), wide);
    const Pack value = load(x + n * C + c, pack_size(C, c), wide);
    const Pack gain = load(weight + c, pack_size(C, c), wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i) d.v[i] = scale * (d.v[i] * gain.v[i] - value.v[i] * scale * mean);
    if (dresidual != nullptr) {
      const Pack passed = load(dresidual + n * C + c, pack_size(C, c), wide);
#pragma unroll
      for (int i = 0; i < kPack; ++i) d.v[i] = d.v[i] + passed.v[i];
    }
    store(dx + n * C + c, d, pack_size(C, c), wide);
  }
}

// A thread adds one column of one gradient block, row by row.
template <typename A>
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward_weight_thread_per_column(GridSum dweight, const A* dy, const A* x, const float* rstd,
                                               std::int64_t N, std::int64_t C) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= C) return;
  const std::int64_t begin = std::int64_t{blockIdx.y} * kGradientBlockRows;
  const std::int64_t end = begin + kGradientBlockRows < N ? begin + kGradientBlockRows : N;
  float total = 0;
  for (std::int64_t n = begin; n < end; ++n)
    total = fmaf(to_float(dy[n * C + c]), to_float(x[n * C + c]) * rstd[n], total);
  add_to_grid(dweight, c, total);
}

}  // namespace

void rms_norm_forward(cudaStream_t stream, const RmsNormShape& shape, void* y, float* rstd, const void* x,
                      const float* weight, float epsilon) {
  with_float_type(shape.activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "rms_norm_forward", {blocks_for(shape.N, kRowsPerBlock), kThreads},
           rms_norm_forward_warp_per_row<A>, static_cast<A*>(y), rstd, static_cast<const A*>(x), weight,
           shape.N, shape.C, epsilon);
  });
}

void rms_norm_backward(cudaStream_t stream, const RmsNormShape& shape, void* dx, const GridSum& dweight,
                       const void* dy, const void* x, const float* weight, const float* rstd,
                       const void* dresidual) {
  with_float_type(shape.activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "rms_norm_backward_weight",
           {{blocks_for(shape.C, kThreads), blocks_for(shape.N, kGradientBlockRows)}, kThreads},
           rms_norm_backward_weight_thread_per_column<A>, dweight, static_cast<const A*>(dy),
           static_cast<const A*>(x), rstd, shape.N, shape.C);
    launch(stream, "rms_norm_backward", {blocks_for(shape.N, kRowsPerBlock), kThreads},
           rms_norm_backward_warp_per_row<A>, static_cast<A*>(dx), static_cast<const A*>(dy),
           static_cast<const A*>(x), weight, rstd, static_cast<const A*>(dresidual), shape.N, shape.C);
  });
}

}  // namespace switchyard::kernels::cuda
