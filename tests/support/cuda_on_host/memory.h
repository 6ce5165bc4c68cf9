// Memory of the pretended device and pinned memory. Device memory cannot be touched by the host while no
// kernel or copy runs: such an access ends the test, as it would the program on a GPU.
#pragma once

#include <cstddef>

namespace switchyard::cuda_on_host {

enum class Owner { host, pinned, device };

/// nullptr where the device has no more; contents are arbitrary.
void* allocate_device(std::size_t bytes);
bool release_device(void* memory);
void* allocate_pinned(std::size_t bytes);
bool release_pinned(void* memory);
/// Whose memory [p, p + bytes) is; false if it runs over the end of an allocation.
bool find_owner(const void* p, std::size_t bytes, Owner& owner);

void set_device_memory(std::size_t bytes);
std::size_t device_memory();
std::size_t device_memory_used();

/// While one of these lives, device memory can be touched.
class OnDevice {
 public:
  OnDevice();
  ~OnDevice();
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
};

}  // namespace switchyard::cuda_on_host
