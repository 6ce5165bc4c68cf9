// Eight neighbouring elements of a row in registers. Which thread holds which elements never depends on how
// they are loaded: 16 bytes at once where the row's length and address allow it, else one by one, with the
// same sums.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/device/numbers.h"

namespace switchyard::kernels::cuda {

inline constexpr int kPack = 8;

struct Pack {
  float v[kPack];
};

/// Whether all rows of `row` elements from p can be read in 16-byte words.
template <typename T>
__device__ __forceinline__ bool is_wide(const T* p, std::int64_t row) {
  return row % kPack == 0 && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

namespace detail {
__device__ __forceinline__ void unpack(float* out, uint4 word, float) {
  out[0] = __uint_as_float(word.x);
  out[1] = __uint_as_float(word.y);
  out[2] = __uint_as_float(word.z);
  out[3] = __uint_as_float(word.w);
}
__device__ __forceinline__ void unpack(float* out, uint4 word, BFloat16) {
  const unsigned words[4] = {word.x, word.y, word.z, word.w};
  for (int i = 0; i < 4; ++i) {
    out[2 * i] = __uint_as_float(words[i] << 16);
    out[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000U);
  }
}
__device__ __forceinline__ unsigned two(float low, float high) {
  return static_cast<unsigned>(from_float<BFloat16>(low).bits) |
         static_cast<unsigned>(from_float<BFloat16>(high).bits) << 16;
}
__device__ __forceinline__ uint4 packed(const float* in, float) {
  return make_uint4(__float_as_uint(in[0]), __float_as_uint(in[1]), __float_as_uint(in[2]),
                    __float_as_uint(in[3]));
}
__device__ __forceinline__ uint4 packed(const float* in, BFloat16) {
  return make_uint4(two(in[0], in[1]), two(in[2], in[3]), two(in[4], in[5]), two(in[6], in[7]));
}
}  // namespace detail

/// Elements [0, n) of p, zeros behind them; n in [0, 8]. `wide`: n is 8 and p is aligned to 16 bytes.
template <typename T>
__device__ __forceinline__ Pack load(const T* p, std::int64_t n, bool wide) {
  constexpr int kPerWord = 16 / static_cast<int>(sizeof(T));
  Pack out;
  if (wide) {
#pragma unroll
    for (int w = 0; w < kPack / kPerWord; ++w)
      detail::unpack(out.v + w * kPerWord, *reinterpret_cast<const uint4*>(p + w * kPerWord), T{});
    return out;
  }
#pragma unroll
  for (int i = 0; i < kPack; ++i) out.v[i] = i < n ? to_float(p[i]) : 0.0F;
  return out;
}

/// The first n elements, rounded; the memory behind them is left alone.
template <typename T>
__device__ __forceinline__ void store(T* p, const Pack& pack, std::int64_t n, bool wide) {
  constexpr int kPerWord = 16 / static_cast<int>(sizeof(T));
  if (wide) {
#pragma unroll
    for (int w = 0; w < kPack / kPerWord; ++w)
      *reinterpret_cast<uint4*>(p + w * kPerWord) = detail::packed(pack.v + w * kPerWord, T{});
    return;
  }
#pragma unroll
  for (int i = 0; i < kPack; ++i)
    if (i < n) p[i] = from_float<T>(pack.v[i]);
}

/// How many of the elements from `at` on belong to the row and this pack.
__device__ __forceinline__ std::int64_t pack_size(std::int64_t row, std::int64_t at) {
  return row - at < kPack ? row - at : kPack;
}

}  // namespace switchyard::kernels::cuda
