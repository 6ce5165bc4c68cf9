// What a rank keeps in memory whatever the batch, by formula: for plans and for telling why memory ran out.
#pragma once

#include "moe/model/config.h"

namespace switchyard::moe {

/// Bytes of one rank; padding of the shards (some kilobytes a tensor) and tables are left out.
struct StateMemory {
  std::int64_t parameters = 0;  ///< that this rank computes with
  std::int64_t weights = 0;     ///< in the dtypes they are computed with
  std::int64_t sums = 0;        ///< exact gradient sums, 8 for each parameter
  std::int64_t optimizer = 0;   ///< moments and, with bf16 weights, masters of this rank's shard
  std::int64_t total() const { return weights + sums + optimizer; }
};

/// `expert_axis` divides `ranks` and the number of experts, as in parallel/mesh. Without an optimizer
/// (evaluating, generating) `optimizer` is not there, the sums are.
StateMemory state_memory(const ModelConfig& config, std::int64_t ranks, std::int64_t expert_axis);

}  // namespace switchyard::moe
