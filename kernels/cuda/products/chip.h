// What the choice of a kernel asks of the device.
#pragma once

namespace switchyard::kernels::cuda {

struct Chip {
  int capability = 0;  ///< 10 * major + minor
  int processors = 0;  ///< streaming multiprocessors
};

/// Of the calling thread's device. Throws DeviceError.
Chip current_chip();

}  // namespace switchyard::kernels::cuda
