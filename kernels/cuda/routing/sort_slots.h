// The stable counting sort of slots by expert. Contract: kernels/ops/permute.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace switchyard::kernels::cuda {

/// Slots that one block of threads places.
inline constexpr std::int64_t kSortChunk = 256;

struct SortedSlots {
  std::int32_t* count;        ///< (E)
  std::int32_t* row_of_slot;  ///< (slots), or null
  std::int32_t* slot_of_row;  ///< (slots)
};

/// i32 of scratch memory that a sort needs.
std::int64_t sort_scratch(std::int64_t slots, std::int64_t E);
void sort_slots(cudaStream_t stream, const SortedSlots& sorted, const std::int32_t* expert,
                std::int64_t slots, std::int64_t E, std::int32_t* scratch);

}  // namespace switchyard::kernels::cuda
