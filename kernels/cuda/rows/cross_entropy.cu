// cross_entropy on the GPU: one block per row; thread t holds the packs t, t + 256, ... in order, then the
// threads are added as a tree: the order depends on V alone.
#include "kernels/cuda/rows/cross_entropy.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/types.h"
#include "kernels/cuda/device/vectors.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    cross_entropy_forward_block_per_row(float* loss, float* lse, const float* logits,
                                        const std::int32_t* targets, std::int64_t V) {
  __shared__ float maxima[kThreads / kWarp];
  __shared__ float sums[kThreads / kWarp];
  const std::int64_t n = blockIdx.x;
  const float* const row = logits + n * V;
  const bool wide = is_wide(logits, V);
  float largest = -INFINITY;
  for (std::int64_t v = threadIdx.x * kPack; v < V; v += kThreads * kPack) {
    const std::int64_t size = pack_size(V, v);
    const Pack pack = load(row + v, size, wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i)
      if (i < size && pack.v[i] > largest) largest = pack.v[i];
  }
  largest = block_max<kThreads>(largest, maxima);
  float total = 0;
  for (std::int64_t v = threadIdx.x * kPack; v < V; v += kThreads * kPack) {
    const std::int64_t size = pack_size(V, v);
    const Pack pack = load(row + v, size, wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i)
      if (i < size) total = total + exponential(pack.v[i] - largest);
  }
  total = block_sum<kThreads>(total, sums);
  if (threadIdx.x != 0) return;
  const float own = log_sum(largest, total);
  lse[n] = own;
  loss[n] = targets[n] < 0 ? 0.0F : own - row[targets[n]];
}

// dlogits may be the memory of logits: a thread reads what it will write before it writes.
template <typename A>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_backward_block_per_row(A* dlogits, const float* logits, const std::int32_t* targets,
                                         const float* lse, float scale, std::int64_t V) {
  const std::int64_t n = blockIdx.x;
  const bool wide = is_wide(logits, V) && is_wide(dlogits, V);
  const std::int32_t target = targets[n];
  const float shift = lse[n];
  for (std::int64_t v = threadIdx.x * kPack; v < V; v += kThreads * kPack) {
    const std::int64_t size = pack_size(V, v);
    Pack pack = load(logits + n * V + v, size, wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      const float p = exponential(pack.v[i] - shift);
      pack.v[i] = target < 0 ? 0.0F : scale * (v + i == target ? p - 1.0F : p);
    }
    store(dlogits + n * V + v, pack, size, wide);
  }
}

}  // namespace

void cross_entropy_forward(cudaStream_t stream, std::int64_t N, std::int64_t V, float* loss, float* lse,
                           const float* logits, const std::int32_t* targets) {
  launch(stream, "cross_entropy_forward", {static_cast<unsigned>(N), kThreads},
         cross_entropy_forward_block_per_row, loss, lse, logits, targets, V);
}

void cross_entropy_backward(cudaStream_t stream, std::int64_t N, std::int64_t V, DType dtype, void* dlogits,
                            const float* logits, const std::int32_t* targets, const float* lse, float scale) {
  with_float_type(dtype, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "cross_entropy_backward", {static_cast<unsigned>(N), kThreads},
           cross_entropy_backward_block_per_row<A>, static_cast<A*>(dlogits), logits, targets, lse, scale, V);
  });
}

}  // namespace switchyard::kernels::cuda
