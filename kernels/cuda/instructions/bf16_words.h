// Pairs of bf16 in 32-bit words, as the matrix instructions hold them.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

namespace switchyard::kernels::cuda {

/// Both rounded to nearest even; `low` is the element of the lower address.
__device__ inline std::uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  std::uint32_t word = 0;
  memcpy(&word, &pair, sizeof(word));
  return word;
}

/// The four lanes of a quad (lane % 4 = q) hold word b of block b, pair q; afterwards lane q holds block q,
/// word p its pair p: 16 bytes that lie together in memory.
__device__ inline void transpose_quad(std::uint32_t (&words)[4], int lane) {
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const bool odd = (lane & 1) != 0;
    const std::uint32_t got = __shfl_xor_sync(0xffffffffU, odd ? words[i] : words[i + 1], 1);
    (odd ? words[i] : words[i + 1]) = got;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const bool upper = (lane & 2) != 0;
    const std::uint32_t got = __shfl_xor_sync(0xffffffffU, upper ? words[i] : words[i + 2], 2);
    (upper ? words[i] : words[i + 2]) = got;
  }
}

}  // namespace switchyard::kernels::cuda
