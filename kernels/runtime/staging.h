// Pinned memory that copies between the host and a device pass through.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "kernels/runtime/device.h"

namespace switchyard::kernels {

/// Two halves, so that the host fills one while the device reads the other. Belongs to one queue, which must
/// outlive it. Takes its memory at the first use.
class Staging {
 public:
  explicit Staging(DeviceQueue* queue) : queue_(queue) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Returns when `from` has been read; the device's copy is queued.
  void upload(void* to, const void* from, std::size_t bytes);
  /// Returns when `to` is written.
  void download(void* to, const void* from, std::size_t bytes);

  static constexpr std::size_t kHalfBytes = std::size_t{4} << 20;

 private:
  struct Half {
    void* memory = nullptr;
    std::unique_ptr<DeviceEvent> free;  // reached when the device has read or written it
  };
  Half& next_half();

  DeviceQueue* queue_;
  std::array<Half, 2> halves_;
  std::size_t turn_ = 0;
};

}  // namespace switchyard::kernels
