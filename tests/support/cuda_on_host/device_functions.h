// CUDA's language and device functions for the host. Each CUDA thread is a fiber (execution.h); what meets or
// waits yields to the others. Rounding is that of the named CUDA function; nothing is contracted.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/support/cuda_on_host/execution.h"
#include "tests/support/cuda_on_host/vector_types.h"

// NOLINTBEGIN: these are CUDA's names.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static  // blocks and grids run one at a time
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)

#define threadIdx (::switchyard::cuda_on_host::current_ids->thread)
#define blockIdx (::switchyard::cuda_on_host::current_ids->block)
#define blockDim (::switchyard::cuda_on_host::current_ids->block_extent)
#define gridDim (::switchyard::cuda_on_host::current_ids->grid_extent)
inline constexpr int warpSize = 32;

namespace switchyard::cuda_on_host {

template <typename T>
T lane_value(const Exchanged& slots, int from) {
  T value;
  std::memcpy(&value, slots[static_cast<std::size_t>(from)].data(), sizeof value);
  return value;
}

// The value that lane `from` brought; its own where `from` is no lane of the group.
template <typename T>
T shuffle(unsigned mask, T value, int from, Where where) {
  static_assert(sizeof(T) <= kExchangeBytes && std::is_trivially_copyable_v<T>);
  const Exchanged& slots = warp_exchange(mask, &value, sizeof value, where);
  if ((mask >> static_cast<unsigned>(from) & 1U) == 0)
    device_failure("a shuffle reads a lane outside its mask", where);
  return lane_value<T>(slots, from);
}

template <typename T, typename Combine>
T lanes_combined(unsigned mask, T value, Combine combine, Where where) {
  const Exchanged& slots = warp_exchange(mask, &value, sizeof value, where);
  bool first = true;
  T result{};
  for (int from = 0; from < 32; ++from) {
    if ((mask >> static_cast<unsigned>(from) & 1U) == 0) continue;
    const T other = lane_value<T>(slots, from);
    result = first ? other : combine(result, other);
    first = false;
  }
  return result;
}

}  // namespace switchyard::cuda_on_host

// Barriers.
inline void __syncthreads(
    switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  switchyard::cuda_on_host::block_barrier(false, where);
}
inline int __syncthreads_count(
    int value, switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  return switchyard::cuda_on_host::block_barrier(value != 0, where);
}
inline int __syncthreads_or(
    int value, switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  return switchyard::cuda_on_host::block_barrier(value != 0, where) > 0 ? 1 : 0;
}
inline int __syncthreads_and(
    int value, switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  return switchyard::cuda_on_host::block_barrier(value == 0, where) > 0 ? 0 : 1;
}
inline void __syncwarp(unsigned mask = 0xffffffffU,
                       switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  const char nothing = 0;
  switchyard::cuda_on_host::warp_exchange(mask, &nothing, sizeof nothing, where);
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __nanosleep(unsigned,
                        switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  switchyard::cuda_on_host::yield(where);
}

// Lanes. Groups of `width` lanes, a power of two.
template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32,
              switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  const int group = switchyard::cuda_on_host::lane() / width * width;
  return switchyard::cuda_on_host::shuffle(mask, value, group + from % width, where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int change, int width = 32,
                  switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  const int own = switchyard::cuda_on_host::lane();
  const int from = own ^ change;
  return switchyard::cuda_on_host::shuffle(mask, value, from / width == own / width ? from : own, where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  const int own = switchyard::cuda_on_host::lane();
  const int from = own - static_cast<int>(distance);
  return switchyard::cuda_on_host::shuffle(mask, value, from >= own / width * width ? from : own, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  const int own = switchyard::cuda_on_host::lane();
  const int from = own + static_cast<int>(distance);
  return switchyard::cuda_on_host::shuffle(mask, value, from < (own / width + 1) * width ? from : own, where);
}
inline unsigned __ballot_sync(
    unsigned mask, int value,
    switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  const unsigned own = value != 0 ? 1U << static_cast<unsigned>(switchyard::cuda_on_host::lane()) : 0U;
  return switchyard::cuda_on_host::lanes_combined(
      mask, own, [](unsigned a, unsigned b) { return a | b; }, where);
}
inline int __any_sync(unsigned mask, int value,
                      switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  return __ballot_sync(mask, value, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int value,
                      switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  return __ballot_sync(mask, value, where) == mask ? 1 : 0;
}
template <typename T>
unsigned __match_any_sync(
    unsigned mask, T value,
    switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  const auto& slots = switchyard::cuda_on_host::warp_exchange(mask, &value, sizeof value, where);
  unsigned equal = 0;
  for (int from = 0; from < 32; ++from)
    if ((mask >> static_cast<unsigned>(from) & 1U) != 0 &&
        switchyard::cuda_on_host::lane_value<T>(slots, from) == value)
      equal |= 1U << static_cast<unsigned>(from);
  return equal;
}
template <typename T>
T __reduce_add_sync(unsigned mask, T value,
                    switchyard::cuda_on_host::Where where = switchyard::cuda_on_host::Where::current()) {
  return switchyard::cuda_on_host::lanes_combined(
      mask, value, [](T a, T b) { return static_cast<T>(a + b); }, where);
}

// Atomics: threads change places only where they wait, so that plain code is atomic.
template <typename T, typename Value>
T atomicAdd(T* address, Value value) {
  const T old = *address;
  *address = static_cast<T>(old + static_cast<T>(value));
  return old;
}
template <typename T, typename Value>
T atomicMax(T* address, Value value) {
  const T old = *address;
  if (static_cast<T>(value) > old) *address = static_cast<T>(value);
  return old;
}
template <typename T, typename Value>
T atomicExch(T* address, Value value) {
  const T old = *address;
  *address = static_cast<T>(value);
  return old;
}
template <typename T, typename Value>
T atomicCAS(T* address, Value expected, Value value) {
  const T old = *address;
  if (old == static_cast<T>(expected)) *address = static_cast<T>(value);
  return old;
}

// Memory.
template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
void __stcs(T* address, T value) {
  *address = value;
}

// Bits.
inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline int __float_as_int(float value) {
  return std::bit_cast<int>(value);
}
inline float __uint_as_float(unsigned value) {
  return std::bit_cast<float>(value);
}
inline float __int_as_float(int value) {
  return std::bit_cast<float>(value);
}
inline long long __double_as_longlong(double value) {
  return std::bit_cast<long long>(value);
}
inline double __longlong_as_double(long long value) {
  return std::bit_cast<double>(value);
}
inline int __popc(unsigned value) {
  return std::popcount(value);
}
inline int __popcll(unsigned long long value) {
  return std::popcount(value);
}
inline int __clz(int value) {
  return std::countl_zero(static_cast<unsigned>(value));
}
inline int __clzll(long long value) {
  return std::countl_zero(static_cast<unsigned long long>(value));
}
inline int __ffs(int value) {
  return __builtin_ffs(value);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>((static_cast<Wide>(a) * b) >> 64);
}

// Arithmetic with the rounding in its name.
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fsqrt_rn(float a) {
  return std::sqrt(a);
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline double __fma_rn(double a, double b, double c) {
  return std::fma(a, b, c);
}
inline double __ll2double_rn(long long value) {
  return static_cast<double>(value);
}
inline float __double2float_rn(double value) {
  return static_cast<float>(value);
}
// To the nearest, ties to even. NaN and what lies beyond the type come out as on a device.
inline long long __double2ll_rn(double value) {
  if (std::isnan(value)) return INT64_MIN;
  if (value >= 0x1p63) return INT64_MAX;
  if (value < -0x1p63) return INT64_MIN;
  return static_cast<long long>(std::nearbyint(value));
}
inline long long __float2ll_rn(float value) {
  return std::isnan(value) ? INT64_MIN : __double2ll_rn(static_cast<double>(value));
}
inline int __float2int_rn(float value) {
  if (std::isnan(value)) return 0;
  const long long whole = __double2ll_rn(static_cast<double>(value));
  return static_cast<int>(whole > INT32_MAX ? INT32_MAX : whole < INT32_MIN ? INT32_MIN : whole);
}
inline float rsqrtf(float value) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(value)));
}
inline float __expf(float value) {
  return std::exp(value);
}
inline float __logf(float value) {
  return std::log(value);
}
inline float __fdividef(float a, float b) {
  return a / b;
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using Common = std::common_type_t<A, B>;
  return static_cast<Common>(b) < static_cast<Common>(a) ? static_cast<Common>(b) : static_cast<Common>(a);
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using Common = std::common_type_t<A, B>;
  return static_cast<Common>(a) < static_cast<Common>(b) ? static_cast<Common>(b) : static_cast<Common>(a);
}
// NOLINTEND
