#include "moe/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace switchyard::moe {

namespace {

// How far `step` is through [first, last], in [0, 1].
double progress(std::int64_t step, std::int64_t first, std::int64_t last) {
  if (last <= first) return step >= last ? 1.0 : 0.0;
  return std::clamp(static_cast<double>(step - first) / static_cast<double>(last - first), 0.0, 1.0);
}

}  // namespace

double learning_rate(const OptimizerConfig& config, std::int64_t step, std::int64_t steps) {
  const ScheduleConfig& schedule = config.schedule;
  if (step < schedule.warmup_steps)
    return config.learning_rate * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  const std::int64_t last = steps - 1;
  const double fall = 1.0 - schedule.final_fraction;
  switch (schedule.kind) {
    case ScheduleKind::constant:
      return config.learning_rate;
    case ScheduleKind::linear:
      return config.learning_rate * (1.0 - fall * progress(step, schedule.warmup_steps, last));
    case ScheduleKind::cosine: {
      const double angle = std::numbers::pi * progress(step, schedule.warmup_steps, last);
      return config.learning_rate * (schedule.final_fraction + fall * 0.5 * (1.0 + std::cos(angle)));
    }
    case ScheduleKind::wsd: {
      const std::int64_t decay = schedule.decay_steps > 0 ? schedule.decay_steps : steps / 5;
      return config.learning_rate * (1.0 - fall * progress(step, last - decay, last));
    }
  }
  return config.learning_rate;
}

}  // namespace switchyard::moe
