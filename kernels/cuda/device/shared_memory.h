// A block's dynamic shared memory.
#pragma once

namespace switchyard::kernels::cuda {

/// Its beginning, aligned to 1024 bytes; the launch says how long it is. Only in a kernel.
template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char switchyard_dynamic_shared[];
  return reinterpret_cast<T*>(switchyard_dynamic_shared);
}

}  // namespace switchyard::kernels::cuda
