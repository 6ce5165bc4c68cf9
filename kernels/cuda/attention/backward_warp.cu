// Attention backward by the matrix instruction of a warp. One kernel owns queries and walks over keys (dq),
// one owns keys and walks over the queries of all heads of their group (dk, dv): each gradient is summed by
// one warp in one order.
#include <type_traits>

#include "kernels/cuda/attention/warp_tiles.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/numbers.h"
#include "kernels/cuda/device/shared_memory.h"

namespace switchyard::kernels::cuda {

namespace {

// Rows of the other side. The sums of two gradients of wide heads leave room for no more.
template <int kHead>
constexpr int kKeyTile = kHead > 64 ? 32 : 64;
template <int kHead>
constexpr int kQueryTile = kHead > 64 ? 16 : 32;

template <int kHead>
__global__ void __launch_bounds__(kAttentionThreads, 1)
    attention_dq_warp_kernel(const AttentionShape shape, __nv_bfloat16* dq, const float* delta,
                             const __nv_bfloat16* dy, const __nv_bfloat16* q, const __nv_bfloat16* k,
                             const __nv_bfloat16* v, const float* lse) {
  using Rows = HeadRows<kHead>;
  constexpr int kTile = kKeyTile<kHead>;
  constexpr int kBlocks = kTile / 8;
  auto* queries = dynamic_shared<__nv_bfloat16>();
  __nv_bfloat16* outputs = queries + Rows::elements(kOwnRows);
  __nv_bfloat16* keys = outputs + Rows::elements(kOwnRows);
  __nv_bfloat16* values = keys + Rows::elements(kTile);
  const OwnQueries own(shape);
  float log_total[2];
  float mean[2];
  for (int half = 0; half < 2; ++half) {
    const bool exists = own.query(half) < shape.T;
    const std::int64_t place = statistic(shape, own.b, own.h, own.query(half));
    log_total[half] = exists ? lse[place] : 0.0F;
    mean[half] = exists ? delta[place] : 0.0F;
  }
  Rows::template bring<kOwnRows>(queries, q + own.queries_at, own.line, own.first, shape.T, shape.D);
  Rows::template bring<kOwnRows>(outputs, dy + own.queries_at, own.line, own.first, shape.T, shape.D);
  float sums[kHead / 8][4] = {};
  for (std::int32_t s = own.keys.first / kTile * kTile; s < own.keys.end; s += kTile) {
    __syncthreads();
    Rows::template bring<kTile>(keys, k + own.keys_at, own.key_line, s, shape.S, shape.D);
    Rows::template bring<kTile>(values, v + own.keys_at, own.key_line, s, shape.S, shape.D);
    copies_commit();
    copies_wait<0>();
    __syncthreads();
    float scores[kBlocks][4];
    float products[kBlocks][4];
    Rows::multiply(scores, queries, keys);
    Rows::multiply(products, outputs, values);
#pragma unroll
    for (int n = 0; n < kBlocks; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::int32_t key = s + fragment_column(n, i);
        const bool sees = key >= own.seen[i / 2].first && key < own.seen[i / 2].end;
        const float weight = __expf(scores[n][i] * shape.scale - log_total[i / 2]);
        scores[n][i] = sees ? weight * (products[n][i] - mean[i / 2]) * shape.scale : 0.0F;
      }
    Rows::add(sums, scores, keys);
  }
  const float factor[2] = {1, 1};
  Rows::store(dq + own.queries_at, own.line, own.first, shape.T, sums, factor, shape.D);
}

template <int kHead>
__global__ void __launch_bounds__(kAttentionThreads, 1)
    attention_dkv_warp_kernel(const AttentionShape shape, __nv_bfloat16* dk, __nv_bfloat16* dv,
                              const float* delta, const __nv_bfloat16* dy, const __nv_bfloat16* q,
                              const __nv_bfloat16* k, const __nv_bfloat16* v, const float* lse) {
  using Rows = HeadRows<kHead>;
  constexpr int kTile = kQueryTile<kHead>;
  constexpr int kBlocks = kTile / 8;
  auto* keys = dynamic_shared<__nv_bfloat16>();
  __nv_bfloat16* values = keys + Rows::elements(kOwnRows);
  __nv_bfloat16* queries = values + Rows::elements(kOwnRows);
  __nv_bfloat16* outputs = queries + Rows::elements(kTile);
  const auto first = static_cast<std::int32_t>(blockIdx.x) * kOwnRows;
  const auto g = static_cast<std::int32_t>(blockIdx.y) % shape.G;
  const auto b = static_cast<std::int32_t>(blockIdx.y) / shape.G;
  const std::int64_t query_line = static_cast<std::int64_t>(shape.H) * shape.D;
  const std::int64_t key_line = static_cast<std::int64_t>(shape.G) * shape.D;
  const std::int64_t keys_at = at(shape, b, 0, shape.S, g, shape.G);
  Range seen[2];
  for (int half = 0; half < 2; ++half) {
    const std::int32_t s = first + fragment_row(half);
    seen[half] = s < shape.S ? queries_of(shape, s) : Range{0, 0};
  }
  Rows::template bring<kOwnRows>(keys, k + keys_at, key_line, first, shape.S, shape.D);
  Rows::template bring<kOwnRows>(values, v + keys_at, key_line, first, shape.S, shape.D);
  float key_sums[kHead / 8][4] = {};
  float value_sums[kHead / 8][4] = {};
  const std::int32_t queries_end = queries_of(shape, min(shape.S, first + kOwnRows) - 1).end;
  const std::int32_t group = shape.H / shape.G;
  for (std::int32_t h = g * group; h < (g + 1) * group; ++h) {
    const std::int64_t queries_at = at(shape, b, 0, shape.T, h, shape.H);
    const float* log_totals = lse + statistic(shape, b, h, 0);
    const float* means = delta + statistic(shape, b, h, 0);
    for (std::int32_t t = first / kTile * kTile; t < queries_end; t += kTile) {
      __syncthreads();
      Rows::template bring<kTile>(queries, q + queries_at, query_line, t, shape.T, shape.D);
      Rows::template bring<kTile>(outputs, dy + queries_at, query_line, t, shape.T, shape.D);
      copies_commit();
      copies_wait<0>();
      __syncthreads();
      float scores[kBlocks][4];
      float products[kBlocks][4];
      Rows::multiply(scores, keys, queries);
      Rows::multiply(products, values, outputs);
#pragma unroll
      for (int n = 0; n < kBlocks; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const std::int32_t query = t + fragment_column(n, i);
          const bool sees = query >= seen[i / 2].first && query < seen[i / 2].end;
          const float weight = sees ? __expf(scores[n][i] * shape.scale - log_totals[query]) : 0.0F;
          scores[n][i] = weight;
          products[n][i] = sees ? weight * (products[n][i] - means[query]) * shape.scale : 0.0F;
        }
      Rows::add(value_sums, scores, outputs);
      Rows::add(key_sums, products, queries);
    }
  }
  const float factor[2] = {1, 1};
  Rows::store(dk + keys_at, key_line, first, shape.S, key_sums, factor, shape.D);
  Rows::store(dv + keys_at, key_line, first, shape.S, value_sums, factor, shape.D);
}

}  // namespace

void attention_backward_warp(cudaStream_t stream, const AttentionShape& shape, const AttentionBackward& t) {
  const auto* dy = static_cast<const __nv_bfloat16*>(t.dy);
  const auto* q = static_cast<const __nv_bfloat16*>(t.q);
  const auto* k = static_cast<const __nv_bfloat16*>(t.k);
  const auto* v = static_cast<const __nv_bfloat16*>(t.v);
  with_head(shape.D, [&](auto head) {
    constexpr int kHead = decltype(head)::value;
    constexpr auto kShared = [](int tile) {
      return sizeof(__nv_bfloat16) *
             static_cast<std::size_t>(HeadRows<kHead>::elements(2 * (kOwnRows + tile)));
    };
    launch(stream, "attention_dq_warp",
           {dim3(blocks_for(shape.T, kOwnRows), static_cast<unsigned>(shape.B * shape.H)), kAttentionThreads,
            kShared(kKeyTile<kHead>)},
           attention_dq_warp_kernel<kHead>, shape, static_cast<__nv_bfloat16*>(t.dq), t.delta, dy, q, k, v,
           t.lse);
    launch(stream, "attention_dkv_warp",
           {dim3(blocks_for(shape.S, kOwnRows), static_cast<unsigned>(shape.B * shape.G)), kAttentionThreads,
            kShared(kQueryTile<kHead>)},
           attention_dkv_warp_kernel<kHead>, shape, static_cast<__nv_bfloat16*>(t.dk),
           static_cast<__nv_bfloat16*>(t.dv), t.delta, dy, q, k, v, t.lse);
  });
}

}  // namespace switchyard::kernels::cuda
