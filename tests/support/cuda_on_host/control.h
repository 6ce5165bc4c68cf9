// What tests may ask of the stand-in for the CUDA runtime, and make it do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace switchyard::cuda_on_host {

/// Since the process began; the difference of two readings is what happened in between.
struct Counters {
  std::int64_t kernels = 0;
  std::int64_t copies = 0;
  std::int64_t fills = 0;
  std::int64_t device_allocations = 0;
  std::int64_t pinned_allocations = 0;
  std::int64_t stream_waits = 0;  ///< of the host, for a stream or an event
  std::int64_t device_waits = 0;  ///< of the host, for everything on the device
};
Counters counters();

/// How work is ordered that streams and events leave open.
enum class Order : std::uint8_t {
  awaited_only,  ///< a wait runs what it waits for and nothing else: other streams fall behind as far as they
                 ///< may
  others_first,  ///< a wait first runs all that other streams could have done
};
/// `seed` shuffles blocks and warps of each kernel; 0 = ascending.
void set_schedule(Order order, std::uint64_t seed);
/// After a kernel failed every wait fails; this lets the next test begin.
void forget_failure();

/// What the pretended device has; allocations beyond it fail as on a device.
void set_device_memory(std::size_t bytes);
/// How many devices cudaGetDeviceCount finds; 0 also stands for a machine without a driver.
void set_device_count(int count);

}  // namespace switchyard::cuda_on_host
