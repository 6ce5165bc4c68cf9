// Host form of kernels/cuda/instructions/barrier.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tests/support/cuda_on_host/asynchronous.h"

namespace switchyard::kernels::cuda {

using Barrier = std::uint64_t;
using Where = cuda_on_host::Where;

inline std::uint32_t shared_address(const void* pointer) {
  return cuda_on_host::shared_address(pointer);
}
inline void barrier_init(Barrier* barrier, std::uint32_t arrivals, Where where = Where::current()) {
  cuda_on_host::barrier_init(barrier, arrivals, where);
}
inline void fence_barrier_init() {}
inline void barrier_arrive(Barrier* barrier, Where where = Where::current()) {
  cuda_on_host::barrier_arrive(barrier, 0, where);
}
inline void barrier_arrive_expecting(Barrier* barrier, std::uint32_t bytes, Where where = Where::current()) {
  cuda_on_host::barrier_arrive(barrier, bytes, where);
}
inline void barrier_wait(Barrier* barrier, std::uint32_t parity, Where where = Where::current()) {
  cuda_on_host::barrier_wait(barrier, parity, where);
}
inline void fence_async_proxy() {}
inline void named_barrier(int id, int threads, Where where = Where::current()) {
  cuda_on_host::named_barrier(id, threads, where);
}
template <int kRegisters>
void give_registers_back() {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
}
template <int kRegisters>
void take_registers() {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
}

}  // namespace switchyard::kernels::cuda
