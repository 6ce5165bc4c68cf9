// Host form of kernels/cuda/device/shared_memory.h.
#pragma once

#include "tests/support/cuda_on_host/execution.h"

namespace switchyard::kernels::cuda {

template <typename T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(cuda_on_host::dynamic_shared());
}

}  // namespace switchyard::kernels::cuda
