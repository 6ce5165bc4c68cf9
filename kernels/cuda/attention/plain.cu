// Attention without matrix instructions, for fp32 and for heads that the warp form does not take. A warp owns
// a row (a query; for the gradients of keys and values a key); a tile of 32 rows of the other side lies in
// shared memory, one to a lane for the scores; then the lanes share out the head's width.
#include "kernels/cuda/attention/seen.h"
#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/numbers.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared_memory.h"
#include "kernels/cuda/device/types.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kWarps = 8;  // rows of a block
constexpr int kThreads = kWarps * kWarp;
constexpr int kTile = kWarp;
constexpr int kParts = kPlainHead / kWarp;  // elements of a head that a lane owns, at most

__device__ int lane() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ int warp() {
  return static_cast<int>(threadIdx.x) / kWarp;
}

// Two tiles and two rows for each warp, as floats; a tile's lines are padded against bank conflicts.
struct Room {
  float* tile[2];
  float* row[2];
  int stride;

  __device__ explicit Room(int D) : stride(D + 1) {
    auto* memory = dynamic_shared<float>();
    tile[0] = memory;
    tile[1] = memory + kTile * stride;
    row[0] = memory + 2 * kTile * stride + warp() * 2 * D;
    row[1] = row[0] + D;
  }
  __host__ __device__ static int bytes(int D) {
    return (2 * kTile * (D + 1) + 2 * kWarps * D) * static_cast<int>(sizeof(float));
  }

  template <typename T>
  __device__ void bring(int which, const T* from, std::int64_t line, std::int32_t first, std::int32_t end,
                        int D) {
    for (int i = static_cast<int>(threadIdx.x); i < kTile * D; i += kThreads) {
      const std::int32_t at = first + i / D;
      tile[which][i / D * stride + i % D] = at < end ? to_float(from[at * line + i % D]) : 0.0F;
    }
  }
  template <typename T>
  __device__ void keep(int which, const T* from, int D) {
    for (int d = lane(); d < D; d += kWarp) row[which][d] = to_float(from[d]);
  }
  // The warp's row times the lane's line of a tile.
  __device__ float dot(int kept, int which, int D) const {
    const float* line = tile[which] + lane() * stride;
    float sum = 0;
    for (int d = 0; d < D; ++d) sum = fmaf(row[kept][d], line[d], sum);
    return sum;
  }
};

// sums[p] += weight of lane j * line j of the tile, for the lanes of `seen` in order.
__device__ void add_lines(float (&sums)[kParts], unsigned seen, float weight, const Room& room, int which,
                          int D) {
  for (int j = 0; j < kTile; ++j) {
    const float w = __shfl_sync(kAllLanes, weight, j);
    if ((seen >> j & 1U) == 0) continue;
#pragma unroll
    for (int p = 0; p < kParts; ++p)
      if (p * kWarp + lane() < D)
        sums[p] = fmaf(w, room.tile[which][j * room.stride + p * kWarp + lane()], sums[p]);
  }
}

template <typename T>
__device__ void store(T* to, const float (&sums)[kParts], float factor, int D) {
#pragma unroll
  for (int p = 0; p < kParts; ++p)
    if (p * kWarp + lane() < D) to[p * kWarp + lane()] = from_float<T>(sums[p] * factor);
}

// The query of a warp: t of head h of sequence b, whose keys and values are those of group g.
struct OwnQuery {
  std::int32_t b, h, g, t;
  bool exists;  // the last block may have more warps than queries
  Range keys;   // that it sees
  Range tiles;  // keys that any query of the block sees, from where a tile begins

  __device__ explicit OwnQuery(const AttentionShape& shape) {
    const auto first = static_cast<std::int32_t>(blockIdx.x) * kWarps;
    const std::int32_t last = min(shape.T, first + kWarps) - 1;
    h = static_cast<std::int32_t>(blockIdx.y) % shape.H;
    b = static_cast<std::int32_t>(blockIdx.y) / shape.H;
    g = h / (shape.H / shape.G);
    t = first + warp();
    exists = t < shape.T;
    keys = exists ? keys_of(shape, t) : Range{0, 0};
    tiles = {keys_of(shape, first).first / kTile * kTile, keys_of(shape, last).end};
  }

  // Brings tile after tile of keys (tile 0 of the room) and values (1), and calls visit(sees, seen) where the
  // query sees any: whether it sees the key of this lane, and of which lanes.
  template <typename T, typename Visit>
  __device__ void walk_tiles(const AttentionShape& shape, Room& room, const T* k, const T* v,
                             Visit&& visit) const {
    const std::int64_t line = static_cast<std::int64_t>(shape.G) * shape.D;
    const std::int64_t from = at(shape, b, 0, shape.S, g, shape.G);
    for (std::int32_t s = tiles.first; s < tiles.end; s += kTile) {
      __syncthreads();
      room.bring(0, k + from, line, s, shape.S, shape.D);
      room.bring(1, v + from, line, s, shape.S, shape.D);
      __syncthreads();
      const bool sees = s + lane() >= keys.first && s + lane() < keys.end;
      const unsigned seen = __ballot_sync(kAllLanes, sees ? 1 : 0);
      if (seen != 0) visit(sees, seen);
    }
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    attention_forward_warp_per_query(const AttentionShape shape, T* y, float* lse, const T* q, const T* k,
                                     const T* v) {
  const int D = shape.D;
  Room room(D);
  const OwnQuery own(shape);
  const std::int64_t row = at(shape, own.b, own.t, shape.T, own.h, shape.H);
  if (own.exists) room.keep(0, q + row, D);
  float largest = -INFINITY;
  float total = 0;
  float sums[kParts] = {};
  own.walk_tiles(shape, room, k, v, [&](bool sees, unsigned seen) {
    const float score = sees ? room.dot(0, 0, D) * shape.scale : -INFINITY;
    const float higher = fmaxf(largest, warp_max(score));
    const float factor = largest == -INFINITY ? 0.0F : exponential(largest - higher);
    const float weight = sees ? exponential(score - higher) : 0.0F;
    total = total * factor + warp_sum(weight);
#pragma unroll
    for (int p = 0; p < kParts; ++p) sums[p] *= factor;
    add_lines(sums, seen, weight, room, 1, D);
    largest = higher;
  });
  if (!own.exists) return;
  store(y + row, sums, 1.0F / total, D);
  if (lane() == 0) lse[statistic(shape, own.b, own.h, own.t)] = log_sum(largest, total);
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    attention_delta_warp_per_query(const AttentionShape shape, float* delta, const T* dy, const T* y) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kWarps + warp();  // (b, t, h)
  if (row >= std::int64_t{shape.B} * shape.T * shape.H) return;
  float sum = 0;
  for (int d = lane(); d < shape.D; d += kWarp)
    sum = fmaf(to_float(dy[row * shape.D + d]), to_float(y[row * shape.D + d]), sum);
  sum = warp_sum(sum);
  const auto h = static_cast<std::int32_t>(row % shape.H);
  const auto t = static_cast<std::int32_t>(row / shape.H % shape.T);
  const auto b = static_cast<std::int32_t>(row / shape.H / shape.T);
  if (lane() == 0) delta[statistic(shape, b, h, t)] = sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    attention_dq_warp_per_query(const AttentionShape shape, T* dq, const float* delta, const T* dy,
                                const T* q, const T* k, const T* v, const float* lse) {
  const int D = shape.D;
  Room room(D);
  const OwnQuery own(shape);
  const std::int64_t row = at(shape, own.b, own.t, shape.T, own.h, shape.H);
  float log_total = 0;
  float mean = 0;
  if (own.exists) {
    room.keep(0, q + row, D);
    room.keep(1, dy + row, D);
    log_total = lse[statistic(shape, own.b, own.h, own.t)];
    mean = delta[statistic(shape, own.b, own.h, own.t)];
  }
  float sums[kParts] = {};
  own.walk_tiles(shape, room, k, v, [&](bool sees, unsigned seen) {
    const float weight = sees ? exponential(room.dot(0, 0, D) * shape.scale - log_total) : 0.0F;
    const float dscore = sees ? weight * (room.dot(1, 1, D) - mean) * shape.scale : 0.0F;
    add_lines(sums, seen, dscore, room, 0, D);
  });
  if (own.exists) store(dq + row, sums, 1.0F, D);
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 2)
    attention_dkv_warp_per_key(const AttentionShape shape, T* dk, T* dv, const float* delta, const T* dy,
                               const T* q, const T* k, const T* v, const float* lse) {
  const int D = shape.D;
  Room room(D);
  const auto first = static_cast<std::int32_t>(blockIdx.x) * kWarps;
  const auto g = static_cast<std::int32_t>(blockIdx.y) % shape.G;
  const auto b = static_cast<std::int32_t>(blockIdx.y) / shape.G;
  const std::int32_t s = first + warp();
  const std::int32_t last = min(shape.S, first + kWarps) - 1;
  const bool works = s < shape.S;
  const Range mine = works ? queries_of(shape, s) : Range{0, 0};
  if (works) room.keep(0, k + at(shape, b, s, shape.S, g, shape.G), D);
  if (works) room.keep(1, v + at(shape, b, s, shape.S, g, shape.G), D);
  float key_sums[kParts] = {};
  float value_sums[kParts] = {};
  const std::int64_t line = static_cast<std::int64_t>(shape.H) * D;
  const std::int32_t group = shape.H / shape.G;
  for (std::int32_t h = g * group; h < (g + 1) * group; ++h) {
    for (std::int32_t t = first / kTile * kTile; t < queries_of(shape, last).end; t += kTile) {
      __syncthreads();
      room.bring(0, q + at(shape, b, 0, shape.T, h, shape.H), line, t, shape.T, D);
      room.bring(1, dy + at(shape, b, 0, shape.T, h, shape.H), line, t, shape.T, D);
      __syncthreads();
      const bool sees = t + lane() >= mine.first && t + lane() < mine.end;
      const unsigned seen = __ballot_sync(kAllLanes, sees ? 1 : 0);
      if (seen == 0) continue;
      const std::int64_t own = statistic(shape, b, h, t + lane());
      const float weight = sees ? exponential(room.dot(0, 0, D) * shape.scale - lse[own]) : 0.0F;
      const float dscore = sees ? weight * (room.dot(1, 1, D) - delta[own]) * shape.scale : 0.0F;
      add_lines(value_sums, seen, weight, room, 1, D);
      add_lines(key_sums, seen, dscore, room, 0, D);
    }
  }
  if (!works) return;
  store(dk + at(shape, b, s, shape.S, g, shape.G), key_sums, 1.0F, D);
  store(dv + at(shape, b, s, shape.S, g, shape.G), value_sums, 1.0F, D);
}

LaunchShape launch_shape(const AttentionShape& shape, std::int32_t rows, std::int32_t heads) {
  return {dim3(blocks_for(rows, kWarps), static_cast<unsigned>(shape.B * heads)), kThreads,
          static_cast<std::size_t>(Room::bytes(shape.D))};
}

}  // namespace

void attention_forward_plain(cudaStream_t stream, const AttentionShape& shape, const AttentionForward& t,
                             DType dtype) {
  with_float_type(dtype, [&](auto tag) {
    using E = typename decltype(tag)::Type;
    launch(stream, "attention_forward_plain", launch_shape(shape, shape.T, shape.H),
           attention_forward_warp_per_query<E>, shape, static_cast<E*>(t.y), t.lse,
           static_cast<const E*>(t.q), static_cast<const E*>(t.k), static_cast<const E*>(t.v));
  });
}

void attention_delta(cudaStream_t stream, const AttentionShape& shape, const AttentionBackward& t,
                     DType dtype) {
  with_float_type(dtype, [&](auto tag) {
    using E = typename decltype(tag)::Type;
    launch(stream, "attention_delta",
           {blocks_for(std::int64_t{shape.B} * shape.T * shape.H, kWarps), kThreads},
           attention_delta_warp_per_query<E>, shape, t.delta, static_cast<const E*>(t.dy),
           static_cast<const E*>(t.y));
  });
}

void attention_backward_plain(cudaStream_t stream, const AttentionShape& shape, const AttentionBackward& t,
                              DType dtype) {
  with_float_type(dtype, [&](auto tag) {
    using E = typename decltype(tag)::Type;
    const auto* dy = static_cast<const E*>(t.dy);
    const auto* q = static_cast<const E*>(t.q);
    const auto* k = static_cast<const E*>(t.k);
    const auto* v = static_cast<const E*>(t.v);
    launch(stream, "attention_dq_plain", launch_shape(shape, shape.T, shape.H),
           attention_dq_warp_per_query<E>, shape, static_cast<E*>(t.dq), t.delta, dy, q, k, v, t.lse);
    launch(stream, "attention_dkv_plain", launch_shape(shape, shape.S, shape.G),
           attention_dkv_warp_per_key<E>, shape, static_cast<E*>(t.dk), static_cast<E*>(t.dv), t.delta, dy, q,
           k, v, t.lse);
  });
}

}  // namespace switchyard::kernels::cuda
