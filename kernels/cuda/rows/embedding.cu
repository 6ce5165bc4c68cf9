// embedding on the GPU. Backward: a block of threads takes one gradient block of rows and a run of columns;
// it first links the rows of equal tokens into chains in row order, then each thread adds its columns chain
// by chain.
#include "kernels/cuda/rows/embedding.h"

#include "kernels/cuda/device/grid.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/types.h"
#include "kernels/cuda/device/vectors.h"
#include "kernels/ops/gradient_grid.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kBlockRows = static_cast<int>(kGradientBlockRows);
static_assert(kBlockRows == kThreads, "each thread links one row");

template <typename A>
__global__ void __launch_bounds__(kThreads)
    embedding_forward_pack_per_thread(A* x, const std::int32_t* tokens, const A* weight, std::int64_t N,
                                      std::int64_t C) {
  const std::int64_t packs = (C + kPack - 1) / kPack;
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= N * packs) return;
  const std::int64_t n = at / packs;
  const std::int64_t c = at % packs * kPack;
  const bool wide = is_wide(x, C) && is_wide(weight, C);
  store(x + n * C + c, load(weight + tokens[n] * C + c, pack_size(C, c), wide), pack_size(C, c), wide);
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    embedding_backward_chains(GridSum dweight, const A* dx, const std::int32_t* tokens, std::int64_t N,
                              std::int64_t C) {
  __shared__ std::int32_t ids[kBlockRows];
  __shared__ int next[kBlockRows];  // the following row of the same token, or -1
  __shared__ int begins_chain[kBlockRows];
  const std::int64_t first = std::int64_t{blockIdx.y} * kBlockRows;
  const int rows = static_cast<int>(N - first < kBlockRows ? N - first : kBlockRows);
  const int own = static_cast<int>(threadIdx.x);
  if (own < rows) ids[own] = tokens[first + own];
  __syncthreads();
  if (own < rows) {
    int found = -1;
    for (int row = own + 1; row < rows && found < 0; ++row)
      if (ids[row] == ids[own]) found = row;
    next[own] = found;
    int earlier = 0;
    for (int row = 0; row < own; ++row) earlier |= ids[row] == ids[own] ? 1 : 0;
    begins_chain[own] = 1 - earlier;
  }
  __syncthreads();
  const std::int64_t c = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= C) return;
  for (int head = 0; head < rows; ++head) {
    if (begins_chain[head] == 0) continue;
    float total = 0;
    for (int row = head; row >= 0; row = next[row]) total = total + to_float(dx[(first + row) * C + c]);
    add_to_grid(dweight, ids[head] * C + c, total);
  }
}

}  // namespace

void embedding_forward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations, void* x,
                       const std::int32_t* tokens, const void* weight) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "embedding_forward", {blocks_for(N * ((C + kPack - 1) / kPack), kThreads), kThreads},
           embedding_forward_pack_per_thread<A>, static_cast<A*>(x), tokens, static_cast<const A*>(weight), N,
           C);
  });
}

void embedding_backward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations,
                        const GridSum& dweight, const void* dx, const std::int32_t* tokens) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "embedding_backward", {{blocks_for(C, kThreads), blocks_for(N, kBlockRows)}, kThreads},
           embedding_backward_chains<A>, dweight, static_cast<const A*>(dx), tokens, N, C);
  });
}

}  // namespace switchyard::kernels::cuda
