// A device that has no memory left: a failure that the program can explain better than the place where it
// shows.
#pragma once

#include <cstddef>

#include "kernels/runtime/error.h"

namespace switchyard::kernels {

struct OutOfMemory : DeviceError {
  /// In bytes: what one allocation asked for, and what the device has.
  OutOfMemory(std::size_t asked_bytes, std::size_t free_bytes, std::size_t total_bytes,
              const std::string& message)
      : DeviceError(message), asked(asked_bytes), free(free_bytes), total(total_bytes) {}
  std::size_t asked, free, total;
};

}  // namespace switchyard::kernels
