// The matrix instruction of a warp (PTX ISA: mma.sync m16n8k16), its loads from shared memory (ldmatrix) and
// copies that do not pass through registers (cp.async). sm_80.
#pragma once

#include <cstdint>

#include "kernels/cuda/instructions/barrier.h"

namespace switchyard::kernels::cuda {

/// d (16, 8) += a (16, 16) * b (16, 8), bf16 pairs in 32-bit words, fp32 sums. Lane l holds of d: rows
/// l / 4 (d[0], d[1]) and l / 4 + 8 (d[2], d[3]), columns 2 * (l % 4) and the next.
__device__ inline void multiply_warp(float (&d)[4], const std::uint32_t (&a)[4],
                                     const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Four 8 x 8 matrices of bf16: lane 8 * i + r names the line of 16 bytes that is row r of matrix i. Lane l
/// gets, of matrix i in word i, row l / 4, columns 2 * (l % 4) and the next; transposed: column l / 4, rows
/// 2 * (l % 4) and the next.
__device__ inline void load_matrices(std::uint32_t (&words)[4], const void* line) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(line))
               : "memory");
}
__device__ inline void load_matrices_transposed(std::uint32_t (&words)[4], const void* line) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
               : "r"(shared_address(line))
               : "memory");
}

/// Starts a copy of 16 bytes to shared memory; `bytes` (0 .. 16) are read, the rest becomes 0.
__device__ inline void copy_16_bytes(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(bytes)
               : "memory");
}
__device__ inline void copies_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most kLeft of this thread's committed groups are under way.
template <int kLeft>
__device__ inline void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

}  // namespace switchyard::kernels::cuda
