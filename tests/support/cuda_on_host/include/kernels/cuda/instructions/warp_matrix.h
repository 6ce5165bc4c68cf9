// Host form of kernels/cuda/instructions/warp_matrix.h: lanes exchange their words.
#pragma once

#include <array>
#include <cstring>

#include "kernels/cuda/instructions/barrier.h"

namespace switchyard::kernels::cuda {

namespace detail {
inline float bf16_of(std::uint32_t word, int half) {
  const std::uint32_t bits = half == 0 ? word << 16 : word & 0xffff0000U;
  return std::bit_cast<float>(bits);
}
inline void load(std::uint32_t (&words)[4], const void* line, bool transposed, Where where) {
  const auto slots = cuda_on_host::warp_exchange(0xffffffffU, &line, sizeof line, where);
  const int lane = cuda_on_host::lane();
  for (int i = 0; i < 4; ++i) {
    std::uint16_t pair[2];
    for (int half = 0; half < 2; ++half) {
      const int row = transposed ? lane % 4 * 2 + half : lane / 4;
      const int column = transposed ? lane / 4 : lane % 4 * 2 + half;
      const std::byte* from = nullptr;
      std::memcpy(&from, slots[static_cast<std::size_t>(8 * i + row)].data(), sizeof from);
      if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
        cuda_on_host::device_failure("lines of a matrix load are aligned to 16", where);
      std::memcpy(&pair[half], from + 2 * column, 2);
    }
    std::memcpy(&words[i], pair, 4);
  }
}
}  // namespace detail

inline void multiply_warp(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                          Where where = Where::current()) {
  const auto as = cuda_on_host::warp_exchange(0xffffffffU, a, sizeof a, where);
  const auto bs = cuda_on_host::warp_exchange(0xffffffffU, b, sizeof b, where);
  const int lane = cuda_on_host::lane();
  const auto word = [](const cuda_on_host::Exchanged& slots, int from, int index) {
    std::uint32_t value = 0;
    std::memcpy(&value, slots[static_cast<std::size_t>(from)].data() + 4 * index, 4);
    return value;
  };
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4;  // + 8 * (i / 2)
    const int column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      const float left = detail::bf16_of(word(as, row * 4 + k % 8 / 2, i / 2 + 2 * (k / 8)), k % 2);
      const float right = detail::bf16_of(word(bs, column * 4 + k % 8 / 2, k / 8), k % 2);
      d[i] += left * right;
    }
  }
}
inline void load_matrices(std::uint32_t (&words)[4], const void* line, Where where = Where::current()) {
  detail::load(words, line, false, where);
}
inline void load_matrices_transposed(std::uint32_t (&words)[4], const void* line,
                                     Where where = Where::current()) {
  detail::load(words, line, true, where);
}
inline void copy_16_bytes(void* to, const void* from, int bytes, Where where = Where::current()) {
  cuda_on_host::begin_copy(to, from, bytes, where);
}
inline void copies_commit() {
  cuda_on_host::copies_commit();
}
template <int kLeft>
void copies_wait() {
  cuda_on_host::copies_wait(kLeft);
}

}  // namespace switchyard::kernels::cuda
