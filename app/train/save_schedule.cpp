#include "app/train/save_schedule.h"

#include <algorithm>
#include <cmath>

#include "data/checkpoint/save/background_saver.h"

namespace switchyard::app {

std::int64_t best_interval_steps(double cost_seconds, double failure_seconds, double step_seconds) {
  constexpr double kLeastSeconds = 1e-6;  // below a clock's grain nothing was measured
  const double seconds =
      data::best_save_interval_seconds(std::max(cost_seconds, kLeastSeconds), failure_seconds);
  return std::max<std::int64_t>(1, std::llround(seconds / std::max(step_seconds, kLeastSeconds)));
}

SaveSchedule::SaveSchedule(const CheckpointConfig& config, std::int64_t step)
    : failure_interval_(config.failure_interval_seconds),
      interval_(failure_interval_ > 0 ? kFirstInterval : config.every),
      last_(step) {}

bool SaveSchedule::is_due(std::int64_t step) const {
  if (interval_ == 0) return false;
  if (retry_ > 0 && step >= retry_) return true;
  return is_automatic() ? retry_ == 0 && step >= last_ + interval_ : step % interval_ == 0;
}

void SaveSchedule::note_saved(std::int64_t step) {
  last_ = step;
  retry_ = 0;
  failures_ = 0;
}

void SaveSchedule::note_failed(std::int64_t step) {
  constexpr std::int64_t kFirstShare = 16;
  constexpr int kMostDoublings = 4;
  const std::int64_t first = std::max<std::int64_t>(1, interval_ / kFirstShare);
  retry_ =
      step + std::min(std::max<std::int64_t>(1, interval_), first << std::min(failures_, kMostDoublings));
  ++failures_;
}

void SaveSchedule::set_interval(std::int64_t steps) {
  interval_ = steps;
}

}  // namespace switchyard::app
