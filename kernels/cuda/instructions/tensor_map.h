// What the copy engine knows of a matrix in device memory (PTX ISA: tensor map). Made on the host, passed to
// a kernel by value.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace switchyard::kernels::cuda {

using TensorMap = CUtensorMap;

/// bf16 matrices (matrices, rows, columns), contiguous, read in boxes of (1, box_rows, 64) that lie in shared
/// memory as box_rows lines of 128 bytes in the 128-byte swizzle. What a box covers outside the tensor is
/// read as 0. `base` is aligned to 16 bytes, columns a multiple of 8, box_rows at most 256.
/// Throws DeviceError when the driver refuses.
TensorMap make_tensor_map(const void* base, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                          int box_rows);

}  // namespace switchyard::kernels::cuda
