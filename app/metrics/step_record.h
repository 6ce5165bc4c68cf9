// What one step was: everything that metrics.jsonl and the log line say of it.
#pragma once

#include <cstdint>

#include "moe/model/step_totals.h"

namespace switchyard::app {

struct StepRecord {
  std::int64_t step = 0;    ///< steps done after this one: the first is 1
  std::int64_t steps = 0;   ///< of the whole run
  std::int64_t tokens = 0;  ///< trained on so far, over all ranks
  moe::StepSummary summary;
  bool skipped = false;  ///< a loss or gradient was not finite or a spike, so no weight moved
  bool spiked = false;   ///< skipped though finite: far above those before (guard.spike_sigma)
  double gradient_norm = 0;
  double clip_factor = 1;
  double learning_rate = 0;
  double seconds = 0;              ///< of this step, on rank 0
  double loader_wait_seconds = 0;  ///< of it, waiting for data
  double tokens_per_second = 0;
  double flops_per_second = 0;  ///< model FLOP/s by the formula of moe/model/cost.h, over all ranks
  double utilisation = 0;       ///< of the measured peak of all ranks; 0 = peak unknown
};

/// A way back: what came after `step` no longer counts, and some batches are left out from there on.
struct RollbackRecord {
  std::int64_t step = 0;
  std::int64_t from_step = 0;
  std::int64_t first_batch = 0, last_batch = 0;
};

struct EvaluationRecord {
  std::int64_t step = 0;
  double loss = 0;  ///< nats per token
  double perplexity = 0;
  std::int64_t tokens = 0;
  double seconds = 0;
};

/// Greatest load of an expert over the mean load, the largest over the layers; 0 without experts.
double load_ratio(const moe::StepSummary& summary);

}  // namespace switchyard::app
