// What the CUDA runtime answers, as exceptions. No fmt here: nvcc reads this file.
#pragma once

#include <cuda_runtime.h>

namespace switchyard::kernels::cuda {

/// Throws DeviceError naming what was tried, CUDA's words and what to do, unless `status` is cudaSuccess.
void check(cudaError_t status, const char* what);

}  // namespace switchyard::kernels::cuda
