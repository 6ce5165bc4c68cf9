// A stable counting sort: each block counts the experts of its chunk of slots, one block turns the counts
// into first rows, and each block then places its slots. A slot's place follows from integers alone, so that
// no order of blocks or threads can change it.
#include "kernels/cuda/routing/sort_slots.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/shared_memory.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = static_cast<int>(kSortChunk);
constexpr int kWarps = kThreads / kWarp;

// Where this thread's slot stands among the slots of its expert in its warp; -1 and no expert for a dropped
// one.
struct Standing {
  std::int32_t expert;
  int earlier;   // lanes before this one with the same expert
  bool is_last;  // none behind it
};

__device__ __forceinline__ Standing stand(const std::int32_t* expert, std::int64_t slot, std::int64_t slots) {
  const std::int32_t own = slot < slots ? expert[slot] : -1;
  const unsigned lane = threadIdx.x % kWarp;
  const unsigned same = __match_any_sync(kAllLanes, own);
  return {own, __popc(same & ((1U << lane) - 1U)), (same >> lane >> 1U) == 0U};
}

// counts (kWarps, E) in shared memory: how many slots of each expert each warp holds.
__device__ __forceinline__ void count_warps(int* counts, const Standing& standing, std::int64_t E) {
  for (std::int64_t i = threadIdx.x; i < kWarps * E; i += kThreads) counts[i] = 0;
  __syncthreads();
  if (standing.expert >= 0 && standing.is_last)
    counts[threadIdx.x / kWarp * E + standing.expert] = standing.earlier + 1;
  __syncthreads();
}

__global__ void __launch_bounds__(kThreads)
    sort_slots_count_chunks(std::int32_t* chunk_count, const std::int32_t* expert, std::int64_t slots,
                            std::int64_t E) {
  int* counts = dynamic_shared<int>();
  count_warps(counts, stand(expert, blockIdx.x * kSortChunk + threadIdx.x, slots), E);
  for (std::int64_t e = threadIdx.x; e < E; e += kThreads) {
    int total = 0;
    for (int warp = 0; warp < kWarps; ++warp) total += counts[warp * E + e];
    chunk_count[blockIdx.x * E + e] = total;
  }
}

// chunk_count (chunks, E) becomes the first row of each chunk among the rows of its expert; first_row (E).
__global__ void __launch_bounds__(kThreads)
    sort_slots_first_rows(std::int32_t* count, std::int32_t* first_row, std::int32_t* chunk_count,
                          std::int64_t chunks, std::int64_t E) {
  for (std::int64_t e = threadIdx.x; e < E; e += kThreads) {
    std::int32_t total = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int32_t here = chunk_count[chunk * E + e];
      chunk_count[chunk * E + e] = total;
      total += here;
    }
    count[e] = total;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  std::int32_t total = 0;
  for (std::int64_t e = 0; e < E; ++e) {
    first_row[e] = total;
    total += count[e];
  }
}

__global__ void __launch_bounds__(kThreads)
    sort_slots_place(std::int32_t* row_of_slot, std::int32_t* slot_of_row, const std::int32_t* expert,
                     const std::int32_t* first_row, const std::int32_t* chunk_first, std::int64_t slots,
                     std::int64_t E) {
  int* counts = dynamic_shared<int>();
  const std::int64_t slot = blockIdx.x * kSortChunk + threadIdx.x;
  const Standing standing = stand(expert, slot, slots);
  count_warps(counts, standing, E);
  if (slot >= slots) return;
  if (standing.expert < 0) {
    if (row_of_slot != nullptr) row_of_slot[slot] = -1;
    return;
  }
  std::int32_t row =
      first_row[standing.expert] + chunk_first[blockIdx.x * E + standing.expert] + standing.earlier;
  for (unsigned warp = 0; warp < threadIdx.x / kWarp; ++warp) row += counts[warp * E + standing.expert];
  if (row_of_slot != nullptr) row_of_slot[slot] = row;
  slot_of_row[row] = static_cast<std::int32_t>(slot);
}

__global__ void __launch_bounds__(kThreads)
    sort_slots_end(std::int32_t* slot_of_row, const std::int32_t* count, const std::int32_t* first_row,
                   std::int64_t slots, std::int64_t E) {
  const std::int64_t row = blockIdx.x * kSortChunk + threadIdx.x;
  if (row < slots && row >= first_row[E - 1] + count[E - 1]) slot_of_row[row] = -1;
}

}  // namespace

std::int64_t sort_scratch(std::int64_t slots, std::int64_t E) {
  return (blocks_for(slots, kSortChunk) + 1) * E;
}

void sort_slots(cudaStream_t stream, const SortedSlots& sorted, const std::int32_t* expert,
                std::int64_t slots, std::int64_t E, std::int32_t* scratch) {
  const unsigned chunks = blocks_for(slots, kSortChunk);
  const std::size_t shared = static_cast<std::size_t>(kWarps * E) * sizeof(int);
  std::int32_t* const first_row = scratch;
  std::int32_t* const chunk_count = scratch + E;
  launch(stream, "sort_slots_count", {chunks, kThreads, shared}, sort_slots_count_chunks, chunk_count, expert,
         slots, E);
  launch(stream, "sort_slots_first_rows", {1, kThreads}, sort_slots_first_rows, sorted.count, first_row,
         chunk_count, std::int64_t{chunks}, E);
  launch(stream, "sort_slots_place", {chunks, kThreads, shared}, sort_slots_place, sorted.row_of_slot,
         sorted.slot_of_row, expert, first_row, chunk_count, slots, E);
  launch(stream, "sort_slots_end", {chunks, kThreads}, sort_slots_end, sorted.slot_of_row, sorted.count,
         first_row, slots, E);
}

}  // namespace switchyard::kernels::cuda
