// The stream that a context's work goes into.
#pragma once

#include <cuda_runtime.h>

#include "kernels/runtime/context.h"

namespace switchyard::kernels::cuda {

inline cudaStream_t stream_of(Context& context) {
  return static_cast<cudaStream_t>(context.queue()->handle());
}

}  // namespace switchyard::kernels::cuda
