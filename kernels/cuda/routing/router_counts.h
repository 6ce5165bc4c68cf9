// Launches of the router's statistics and capacity. Contract: kernels/ops/router.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace switchyard::kernels::cuda {

struct RouterStatistics {
  double* probability_sum;  ///< (S, E)
  std::int64_t* top_count;  ///< (S, E), zero
  std::int64_t* load;       ///< (E), zero
  double* row_sums;         ///< (2)
};

/// `entropies` (N): scratch.
void router_statistics(cudaStream_t stream, const RouterStatistics& statistics, double* entropies,
                       const float* probability, const float* lse, const std::int32_t* expert, std::int64_t N,
                       std::int64_t E, std::int64_t K, std::int64_t S);

/// expert (slots): -1 for the slots of each expert beyond its capacity; count (E) and slot_of_row (slots) are
/// those of sort_slots.
void router_drop(cudaStream_t stream, std::int32_t* expert, const float* weight, const std::int32_t* count,
                 const std::int32_t* slot_of_row, std::int64_t E, std::int64_t capacity, bool by_probability);

}  // namespace switchyard::kernels::cuda
