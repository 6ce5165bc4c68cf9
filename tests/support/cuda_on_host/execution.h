// Runs the threads of a grid on the host: what the stand-ins of CUDA's device functions call. One grid at a
// time, its blocks one after another, the threads of a block as fibers that yield where they wait for each
// other.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

namespace switchyard::cuda_on_host {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};
/// What a thread can ask about itself.
struct ThreadIds {
  Extent thread{0, 0, 0}, block{0, 0, 0}, block_extent, grid_extent;
};
/// Of the thread that runs now.
extern const ThreadIds* current_ids;

/// One launch, as the host gave it.
struct Grid {
  std::string kernel;
  Extent blocks;
  Extent threads;
  std::size_t shared_bytes = 0;
  std::function<void()> thread;  ///< runs the kernel for the current thread
};

/// Runs all blocks. `seed` shuffles the order of blocks, and of warps between two waits; 0 = ascending.
/// Throws DeviceError naming kernel, block and thread for a barrier that not all threads reach, threads that
/// wait for each other forever, or a shape that no device can launch.
void run_grid(const Grid& grid, std::uint64_t seed);

// For the stand-ins; only inside a kernel.

using Where = std::source_location;
/// All threads of the block, at one place in the source; returns how many of them came with `value`.
int block_barrier(bool value, Where where);
/// `threads` threads of the block, at any places (bar.sync id, threads).
void named_barrier(int id, int threads, Where where);
/// Lets other threads run. To be called in a loop that waits for what they do.
void yield(Where where);

inline constexpr std::size_t kExchangeBytes = 16;
using Exchanged = std::array<std::array<std::byte, kExchangeBytes>, 32>;
/// Publishes `value` to the lanes of `mask`, which must all come to this place in the source; the result
/// holds what each of them brought and is valid until the next exchange.
const Exchanged& warp_exchange(unsigned mask, const void* value, std::size_t bytes, Where where);
int lane();
[[noreturn]] void device_failure(const std::string& what, Where where);

/// The block's dynamic shared memory; filled with ones before the block begins.
std::byte* dynamic_shared();

}  // namespace switchyard::cuda_on_host
