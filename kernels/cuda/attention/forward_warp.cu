// Attention forward by the matrix instruction of a warp: a block owns 64 queries of a head and walks over
// tiles of 64 keys with a running maximum.
#include <type_traits>

#include "kernels/cuda/attention/warp_tiles.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/numbers.h"
#include "kernels/cuda/device/shared_memory.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kTile = 64;
constexpr int kBlocks = kTile / 8;

// What the softmax of a lane's two rows has come to.
struct Running {
  float largest[2] = {-INFINITY, -INFINITY};
  float total[2] = {0, 0};
};

// Over the four lanes that hold a row.
__device__ float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffU, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffU, value, 2));
}
__device__ float quad_sum(float value) {
  value += __shfl_xor_sync(0xffffffffU, value, 1);
  return value + __shfl_xor_sync(0xffffffffU, value, 2);
}

// Scores become weights; the returned factors bring earlier sums to the new maximum.
__device__ void soften(float (&scores)[kBlocks][4], Running& running, float (&factor)[2],
                       const Range (&seen)[2], std::int32_t first_key, float scale) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float largest = -INFINITY;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n)
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        const std::int32_t key = first_key + fragment_column(n, i);
        scores[n][i] = key >= seen[half].first && key < seen[half].end ? scores[n][i] * scale : -INFINITY;
        largest = fmaxf(largest, scores[n][i]);
      }
    const float higher = fmaxf(running.largest[half], quad_max(largest));
    const float base = higher == -INFINITY ? 0.0F : higher;  // a row that sees none of these keys
    factor[half] = __expf(running.largest[half] - base);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n)
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        scores[n][i] = __expf(scores[n][i] - base);
        sum += scores[n][i];
      }
    running.total[half] = running.total[half] * factor[half] + quad_sum(sum);
    running.largest[half] = higher;
  }
}

template <int kHead>
__global__ void __launch_bounds__(kAttentionThreads)
    attention_forward_warp_kernel(const AttentionShape shape, __nv_bfloat16* y, float* lse,
                                  const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v) {
  using Rows = HeadRows<kHead>;
  auto* queries = dynamic_shared<__nv_bfloat16>();
  __nv_bfloat16* keys = queries + Rows::elements(kOwnRows);
  __nv_bfloat16* values = keys + Rows::elements(kTile);
  // The last queries, which see most keys, first.
  const auto first = static_cast<std::int32_t>(gridDim.x - 1 - blockIdx.x) * kOwnRows;
  const auto h = static_cast<std::int32_t>(blockIdx.y) % shape.H;
  const auto b = static_cast<std::int32_t>(blockIdx.y) / shape.H;
  const std::int32_t g = h / (shape.H / shape.G);
  const std::int64_t query_line = static_cast<std::int64_t>(shape.H) * shape.D;
  const std::int64_t key_line = static_cast<std::int64_t>(shape.G) * shape.D;
  const std::int64_t keys_at = at(shape, b, 0, shape.S, g, shape.G);
  const std::int64_t queries_at = at(shape, b, 0, shape.T, h, shape.H);
  const std::int32_t end = min(shape.T, first + kOwnRows);
  Range seen[2];
  for (int half = 0; half < 2; ++half) {
    const std::int32_t t = first + fragment_row(half);
    seen[half] = t < shape.T ? keys_of(shape, t) : Range{0, 0};
  }
  Rows::template bring<kOwnRows>(queries, q + queries_at, query_line, first, shape.T, shape.D);
  float sums[kHead / 8][4] = {};
  Running running;
  const std::int32_t keys_end = keys_of(shape, end - 1).end;
  for (std::int32_t s = keys_of(shape, first).first / kTile * kTile; s < keys_end; s += kTile) {
    __syncthreads();  // the tile before has been read
    Rows::template bring<kTile>(keys, k + keys_at, key_line, s, shape.S, shape.D);
    Rows::template bring<kTile>(values, v + keys_at, key_line, s, shape.S, shape.D);
    copies_commit();
    copies_wait<0>();
    __syncthreads();
    float scores[kBlocks][4];
    float factor[2];
    Rows::multiply(scores, queries, keys);
    soften(scores, running, factor, seen, s, shape.scale);
#pragma unroll
    for (int n = 0; n < kHead / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[n][i] *= factor[i / 2];
    Rows::add(sums, scores, values);
  }
  const float factor[2] = {1.0F / running.total[0], 1.0F / running.total[1]};
  Rows::store(y + queries_at, query_line, first, shape.T, sums, factor, shape.D);
  for (int half = 0; half < 2; ++half) {
    const std::int32_t t = first + fragment_row(half);
    if (threadIdx.x % 4 == 0 && t < shape.T)
      lse[statistic(shape, b, h, t)] = log_sum(running.largest[half], running.total[half]);
  }
}

}  // namespace

void attention_forward_warp(cudaStream_t stream, const AttentionShape& shape, const AttentionForward& t) {
  with_head(shape.D, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    launch(
        stream, "attention_forward_warp",
        {dim3(blocks_for(shape.T, kOwnRows), static_cast<unsigned>(shape.B * shape.H)), kAttentionThreads,
         sizeof(__nv_bfloat16) * static_cast<std::size_t>(HeadRows<kHead>::elements(kOwnRows + 2 * kTile))},
        attention_forward_warp_kernel<kHead>, shape, static_cast<__nv_bfloat16*>(t.y), t.lse,
        static_cast<const __nv_bfloat16*>(t.q), static_cast<const __nv_bfloat16*>(t.k),
        static_cast<const __nv_bfloat16*>(t.v));
  });
}

}  // namespace switchyard::kernels::cuda
