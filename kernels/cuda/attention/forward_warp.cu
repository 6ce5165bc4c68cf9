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
  const OwnQueries own(shape);
  Rows::template bring<kOwnRows>(queries, q + own.queries_at, own.line, own.first, shape.T, shape.D);
  float sums[kHead / 8][4] = {};
  Running running;
  for (std::int32_t s = own.keys.first / kTile * kTile; s < own.keys.end; s += kTile) {
    __syncthreads();  // the tile before has been read
    Rows::template bring<kTile>(keys, k + own.keys_at, own.key_line, s, shape.S, shape.D);
    Rows::template bring<kTile>(values, v + own.keys_at, own.key_line, s, shape.S, shape.D);
    copies_commit();
    copies_wait<0>();
    __syncthreads();
    float scores[kBlocks][4];
    float factor[2];
    Rows::multiply(scores, queries, keys);
    soften(scores, running, factor, own.seen, s, shape.scale);
#pragma unroll
    for (int n = 0; n < kHead / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[n][i] *= factor[i / 2];
    Rows::add(sums, scores, values);
  }
  const float factor[2] = {1.0F / running.total[0], 1.0F / running.total[1]};
  Rows::store(y + own.queries_at, own.line, own.first, shape.T, sums, factor, shape.D);
  for (int half = 0; half < 2; ++half)
    if (threadIdx.x % 4 == 0 && own.query(half) < shape.T)
      lse[statistic(shape, own.b, own.h, own.query(half))] =
          log_sum(running.largest[half], running.total[half]);
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
