// Learning rate of a step.
#pragma once

#include "moe/optim/config.h"

namespace switchyard::moe {

/// Rate of `step` (from 0) of `steps`. Warm-up rises linearly and reaches the peak at step warmup_steps - 1;
/// the last step has final_fraction of the peak (cosine: half a period; linear: straight; wsd: constant, then
/// straight down over decay_steps).
double learning_rate(const OptimizerConfig& config, std::int64_t step, std::int64_t steps);

}  // namespace switchyard::moe
