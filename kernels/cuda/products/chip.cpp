#include "kernels/cuda/products/chip.h"

#include <cuda_runtime.h>

#include "kernels/cuda/runtime/errors.h"

namespace switchyard::kernels::cuda {

namespace {
int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "asking for an attribute of the device");
  return value;
}
}  // namespace

Chip current_chip() {
  int device = 0;
  check(cudaGetDevice(&device), "asking for the current device");
  return {10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
              attribute(cudaDevAttrComputeCapabilityMinor, device),
          attribute(cudaDevAttrMultiProcessorCount, device)};
}

}  // namespace switchyard::kernels::cuda
