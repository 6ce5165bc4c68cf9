// How many blocks of how many threads.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace switchyard::kernels::cuda {

struct LaunchShape {
  dim3 blocks;
  dim3 threads;
  std::size_t shared_bytes = 0;  ///< dynamic
};

/// So many that each item is in one; none for no items.
inline unsigned blocks_for(std::int64_t items, std::int64_t items_per_block) {
  return static_cast<unsigned>((items + items_per_block - 1) / items_per_block);
}

}  // namespace switchyard::kernels::cuda
