// How a model learns: optimizer and learning-rate schedule. Filled by app/config.
#pragma once

#include <cstdint>

namespace switchyard::moe {

enum class ScheduleKind : std::uint8_t { constant, linear, cosine, wsd };

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  std::int64_t warmup_steps = 0;  ///< linear from 0; step s (from 0) uses (s + 1) / warmup_steps
  double final_fraction = 0.1;    ///< of the peak rate, reached at the last step (linear, cosine, wsd)
  std::int64_t decay_steps = 0;   ///< wsd: length of the decay at the end; 0 = a fifth of all steps
};

struct OptimizerConfig {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  ///< decoupled; applied to matrices, not to norms, biases or embeddings
  double clip_norm = 1.0;     ///< global norm over all parameters, experts included; 0 = no clipping
  ScheduleConfig schedule;
};

}  // namespace switchyard::moe
