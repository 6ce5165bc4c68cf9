// Sums and maxima over the threads of a warp or a block, always in the same order: pairs that lie ever
// closer. All threads get the result.
#pragma once

#include <cuda_runtime.h>

namespace switchyard::kernels::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffU;

template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

/// NaN is passed over.
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, value, distance);
    value = value > other || other != other ? value : other;
  }
  return value;
}

/// Over a block of kThreads threads. `room` is shared memory for kThreads / 32 values; free again after a
/// barrier.
template <int kThreads, typename T>
__device__ __forceinline__ T block_sum(T value, T* room) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = value;
  __syncthreads();
  T total = room[0];
  for (int warp = 1; warp < kThreads / kWarp; ++warp) total += room[warp];
  return total;
}

template <int kThreads>
__device__ __forceinline__ float block_max(float value, float* room) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  value = warp_max(value);
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = value;
  __syncthreads();
  float largest = room[0];
  for (int warp = 1; warp < kThreads / kWarp; ++warp)
    largest = largest > room[warp] || room[warp] != room[warp] ? largest : room[warp];
  return largest;
}

}  // namespace switchyard::kernels::cuda
