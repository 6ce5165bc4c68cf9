// Multiply-adds that touch no memory, for measuring what the chip can do in fp32.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace switchyard::kernels::cuda {

/// Operations of one round of a piece: a thread block's.
inline constexpr double kOperationsOfRound = 256.0 * 8 * 16 * 2;

/// `sink` (1) is written only if the result is a value that it never is.
void multiply_adds(cudaStream_t stream, std::int64_t pieces, std::int64_t rounds, float* sink);

}  // namespace switchyard::kernels::cuda
