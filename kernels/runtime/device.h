// The accelerator, as far as everybody may know of it: which ones there are, their memory, and queues of work
// on them. kernels/cuda/runtime defines these functions, or kernels/cuda/absent_device.cpp where the program
// is built without it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace switchyard::kernels {

struct DeviceInfo {
  std::string name;
  std::string driver;   ///< "13.0", the CUDA version that the driver speaks
  std::string runtime;  ///< "13.0", of the program
  int major = 0;        ///< compute capability
  int minor = 0;
  int multiprocessors = 0;
  std::size_t memory_bytes = 0;
  std::size_t free_bytes = 0;
};

/// The devices that this process can use; if there are none, why.
struct FoundDevices {
  std::vector<DeviceInfo> devices;
  std::string none_because;
};
FoundDevices found_devices();
/// Makes the calling thread and the queues it makes use this device. Throws DeviceError if there is none
/// such.
void use_device(int index);

/// Device memory, zero-filled, aligned to 256. Throws DeviceError: what was asked for, what is free, which
/// key to lower. Both wait for the whole device: not for use within a step.
void* allocate_device_memory(std::size_t bytes);
void release_device_memory(void* memory) noexcept;
/// Host memory that a device can copy from and to while the host goes on; contents are arbitrary.
void* allocate_pinned_memory(std::size_t bytes);
void release_pinned_memory(void* memory) noexcept;

/// A point in a queue. Waiting for an event that was never recorded is no wait.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  /// Lets the host wait until the queue has come there. Throws DeviceError if the work before it failed.
  virtual void wait() = 0;
  /// Whether the queue has come there; does not wait. Throws as wait().
  virtual bool done() = 0;
};

/// Work on a device, done in the order in which it was given; the host does not wait for it unless it says
/// so.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;
  virtual void copy_to_device(void* to, const void* pinned, std::size_t bytes) = 0;
  virtual void copy_to_host(void* pinned, const void* from, std::size_t bytes) = 0;
  virtual void copy_on_device(void* to, const void* from, std::size_t bytes) = 0;
  virtual void fill(void* to, std::uint8_t byte, std::size_t bytes) = 0;
  virtual std::unique_ptr<DeviceEvent> make_event() = 0;
  virtual void record(DeviceEvent& event) = 0;
  /// Work given after this begins once the event has been reached, also one of another queue.
  virtual void wait_for(DeviceEvent& event) = 0;
  /// Lets the host wait for all that was given. Throws DeviceError if some of it failed.
  virtual void wait() = 0;
  /// The back end's own handle (CUDA: cudaStream_t).
  virtual void* handle() const = 0;
};
/// Throws DeviceError, saying why, if there is no device.
std::unique_ptr<DeviceQueue> make_device_queue();

}  // namespace switchyard::kernels
