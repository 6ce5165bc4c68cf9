// Host form of kernels/cuda/device/launch.h: puts the grid into its stream's queue.
#pragma once

#include <cuda_runtime.h>

#include <tuple>
#include <type_traits>

#include "kernels/cuda/device/launch_shape.h"
#include "tests/support/cuda_on_host/streams.h"

namespace switchyard::kernels::cuda {

template <typename... Parameters, typename... Arguments>
void launch(cudaStream_t stream, const char* name, const LaunchShape& shape, void (*kernel)(Parameters...),
            Arguments... arguments) {
  if (shape.blocks.x == 0 || shape.blocks.y == 0 || shape.blocks.z == 0) return;
  const std::tuple<std::remove_cv_t<Parameters>...> values(static_cast<Parameters>(arguments)...);
  cuda_on_host::enqueue_grid(stream, {name,
                                      {shape.blocks.x, shape.blocks.y, shape.blocks.z},
                                      {shape.threads.x, shape.threads.y, shape.threads.z},
                                      shape.shared_bytes,
                                      [kernel, values] { std::apply(kernel, values); }});
}

}  // namespace switchyard::kernels::cuda
