// What goes on beside the threads of a block: barriers in shared memory that count arrivals and bytes, copies
// that end later than they began, multiplies of a warpgroup. Behind the host forms of
// kernels/cuda/instructions. Meanings from the PTX ISA; stricter where that finds mistakes:
//   - a copy is done only once somebody waits for what it announces, so that reading too early reads ones;
//   - an operand must be the same when a multiply begins and when it is waited for.
// Not seen: a missing fence between ordinary stores and the copy engine or the matrix instruction.
#pragma once

#include <cstdint>

#include "tests/support/cuda_on_host/execution.h"

namespace switchyard::cuda_on_host {

/// Where shared memory's addresses, as instructions take them, begin.
inline constexpr std::uint32_t kSharedBase = 1024;
std::uint32_t shared_address(const void* pointer);
std::byte* shared_pointer(std::uint32_t address);

void barrier_init(std::uint64_t* barrier, std::uint32_t arrivals, Where where);
void barrier_arrive(std::uint64_t* barrier, std::uint32_t expected_bytes, Where where);
void barrier_wait(std::uint64_t* barrier, std::uint32_t parity, Where where);

/// A tensor of bf16 as the copy engine sees it; see kernels/cuda/instructions/tensor_map.h.
struct HostTensorMap {
  const std::uint16_t* base = nullptr;
  std::int64_t extent[3] = {};  ///< matrices, rows, columns
  int box_rows = 0;
};
void copy_box(void* to, const HostTensorMap& map, int matrix, int row, int column, std::uint64_t* barrier,
              Where where);

/// A multiply of a warpgroup, this thread's part: `columns` / 2 sums.
struct WarpgroupMultiply {
  float* sums;
  int columns;
  std::uint64_t a;
  std::uint64_t b;
  bool a_across;
  bool b_across;
  bool add;
};
void begin_multiply(const WarpgroupMultiply& multiply, Where where);
void warpgroup_fence(Where where);
void warpgroup_commit();
void warpgroup_wait(int left, Where where);

/// Copies of 16 bytes of one thread; `bytes` are read, the rest becomes 0.
void begin_copy(void* to, const void* from, int bytes, Where where);
void copies_commit();
void copies_wait(int left);

}  // namespace switchyard::cuda_on_host
