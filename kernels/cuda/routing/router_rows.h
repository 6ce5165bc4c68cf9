// How a warp works on one row of the router: its memory, its sums, and its choice of the best. Device code
// only.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/numbers.h"
#include "kernels/cuda/device/reduce.h"

namespace switchyard::kernels::cuda {

/// NaN ranks below everything; equals do not rank above each other.
__device__ __forceinline__ bool ranks_above(float a, float b) {
  return a > b || (b != b && a == a);
}

/// A key and who has it. All candidates are in one order: by rank, and among equals the lower id first.
struct Candidate {
  float key;
  std::int32_t id;  ///< -1 = nobody
};
__device__ __forceinline__ bool comes_before(const Candidate& a, const Candidate& b) {
  if (b.id < 0) return a.id >= 0;
  if (a.id < 0) return false;
  if (ranks_above(a.key, b.key)) return true;
  return !ranks_above(b.key, a.key) && a.id < b.id;
}

/// The first of what the lanes bring, for all of them.
__device__ __forceinline__ Candidate warp_first(Candidate own) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const Candidate other{__shfl_xor_sync(kAllLanes, own.key, distance),
                          __shfl_xor_sync(kAllLanes, own.id, distance)};
    if (comes_before(other, own)) own = other;
  }
  return own;
}

/// The candidate that follows `previous` (id -1: the very first) among those of [begin, end) that `may` lets
/// through.
template <typename May>
__device__ __forceinline__ Candidate next_after(const Candidate& previous, const float* keys,
                                                std::int64_t begin, std::int64_t end, std::int64_t stride,
                                                May may) {
  Candidate best{0.0F, -1};
  for (std::int64_t i = begin; i < end; i += stride) {
    if (!may(i)) continue;
    const Candidate one{keys[i], static_cast<std::int32_t>(i)};
    if (previous.id >= 0 && !comes_before(previous, one)) continue;
    if (comes_before(one, best)) best = one;
  }
  return best;
}

/// f(e) for the experts of this lane, in order.
template <typename F>
__device__ __forceinline__ void for_experts(std::int64_t E, F f) {
  for (std::int64_t e = threadIdx.x % kWarp; e < E; e += kWarp) f(e);
}
/// The sum of f(e), in an order that depends on E alone.
template <typename F>
__device__ __forceinline__ float sum_experts(std::int64_t E, F f) {
  float total = 0;
  for_experts(E, [&](std::int64_t e) { total = total + f(e); });
  return warp_sum(total);
}

/// A warp's part of the block's shared memory.
struct RouterScratch {
  static constexpr int kWordsPerExpert = 4;
  __device__ RouterScratch(float* memory, std::int64_t E)
      : scores(memory),
        keys(memory + E),
        totals(memory + 2 * E),
        kept(reinterpret_cast<int*>(memory + 3 * E)) {}
  float* scores;  ///< (E) what the weights are made of
  float* keys;    ///< (E) what the choice looks at
  float* totals;  ///< (E) of the groups; in the backward pass the gradients of the logits
  int* kept;      ///< (E) of the groups: 1 where one stays
};

}  // namespace switchyard::kernels::cuda
