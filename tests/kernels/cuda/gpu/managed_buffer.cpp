// Takes the place of kernels/runtime/buffer.cpp in tests on a GPU: memory that both sides can touch, so that
// op tests written for the host run there. Launches wait for their end (CUDA_LAUNCH_BLOCKING, op_levels.cpp).
#include <cuda_runtime.h>

#include <cstring>

#include "kernels/cuda/runtime/errors.h"
#include "kernels/runtime/buffer.h"

namespace switchyard::kernels {

Buffer::Buffer(std::size_t bytes, Device device) : bytes_(bytes), device_(device) {
  if (bytes == 0) return;
  cuda::check(cudaMallocManaged(&data_, bytes), "allocating memory that both sides can touch");
  std::memset(data_, 0, bytes);
}

Buffer::~Buffer() {
  if (data_ != nullptr) static_cast<void>(cudaFree(data_));
}

}  // namespace switchyard::kernels
