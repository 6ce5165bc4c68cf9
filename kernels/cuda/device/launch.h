// The one way by which kernels are launched, so that the same sources also run on the host in the tests
// (tests/support/cuda_on_host has this header's host form).
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device/launch_shape.h"
#include "kernels/cuda/runtime/errors.h"

namespace switchyard::kernels::cuda {

/// Puts a grid into the stream's queue; a grid without blocks is none. Throws DeviceError naming the kernel
/// if it cannot be launched; what goes wrong while it runs shows at the next wait.
template <typename... Parameters, typename... Arguments>
void launch(cudaStream_t stream, const char* name, const LaunchShape& shape, void (*kernel)(Parameters...),
            Arguments... arguments) {
  if (shape.blocks.x == 0 || shape.blocks.y == 0 || shape.blocks.z == 0) return;
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (shape.shared_bytes > kWithoutAsking)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shape.shared_bytes)),
          name);
  kernel<<<shape.blocks, shape.threads, shape.shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), name);
}

}  // namespace switchyard::kernels::cuda
