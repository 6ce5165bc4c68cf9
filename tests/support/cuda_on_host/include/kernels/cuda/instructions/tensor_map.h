// Host form of kernels/cuda/instructions/tensor_map.h.
#pragma once

#include <cstdint>

#include "tests/support/cuda_on_host/asynchronous.h"

namespace switchyard::kernels::cuda {

using TensorMap = cuda_on_host::HostTensorMap;

/// Throws DeviceError for what the driver would refuse.
TensorMap make_tensor_map(const void* base, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                          int box_rows);

}  // namespace switchyard::kernels::cuda
