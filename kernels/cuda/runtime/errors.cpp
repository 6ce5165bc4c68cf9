#include "kernels/cuda/runtime/errors.h"

#include <fmt/format.h>

#include "kernels/runtime/error.h"

namespace switchyard::kernels::cuda {

namespace {

std::string advice(cudaError_t status) {
  switch (status) {
    case cudaErrorInsufficientDriver:
      return "install a driver for the CUDA this program was built with, or set run.device: cpu";
    case cudaErrorNoDevice:
    case cudaErrorInitializationError:
      return "make a GPU visible to this process, or set run.device: cpu";
    case cudaErrorMemoryAllocation:
      return "lower train.micro_batch or data.sequence_length";
    default:
      return "run again with CUDA_LAUNCH_BLOCKING=1 in the environment to learn which kernel it was";
  }
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw DeviceError(fmt::format("cuda: {}: {} ({}); {}", what, cudaGetErrorString(status),
                                cudaGetErrorName(status), advice(status)));
}

}  // namespace switchyard::kernels::cuda
