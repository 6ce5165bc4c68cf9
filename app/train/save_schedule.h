// When the next checkpoint is due: every so many steps, or as often as its measured cost and the expected
// failures make worth while; after a failed save, sooner. Pure arithmetic; all ranks feed it the same
// numbers.
#pragma once

#include <cstdint>

#include "app/config/config.h"

namespace switchyard::app {

/// Steps between saves that lose least time (Young 1974): sqrt(2 * cost * mean time between failures), in
/// steps of `step_seconds`, at least 1. `cost_seconds` is how long one save blocks training.
std::int64_t best_interval_steps(double cost_seconds, double failure_seconds, double step_seconds);

class SaveSchedule {
 public:
  /// `step`: where the run starts or resumes.
  SaveSchedule(const CheckpointConfig& config, std::int64_t step);

  /// Whether the interval follows from measurements; set_interval must then be called after each save.
  bool is_automatic() const { return failure_interval_ > 0; }
  /// Whether a checkpoint is to be written after `step`.
  bool is_due(std::int64_t step) const;
  /// After a save of `step` that was committed.
  void note_saved(std::int64_t step);
  /// After one that was not: the first new attempt comes after a sixteenth of the interval, each further one
  /// after twice as long, at most the interval: a full disk costs little, and little is lost once it has
  /// space again.
  void note_failed(std::int64_t step);
  /// Automatic only: steps from the last save to the next.
  void set_interval(std::int64_t steps);
  std::int64_t interval() const { return interval_; }

  /// Automatic: steps until the first save, whose cost is not known yet.
  static constexpr std::int64_t kFirstInterval = 10;

 private:
  std::int64_t failure_interval_;
  std::int64_t interval_;   // 0: only at the end
  std::int64_t last_ = 0;   // automatic: the interval counts from here
  std::int64_t retry_ = 0;  // 0: none is waiting
  int failures_ = 0;        // in a row
};

}  // namespace switchyard::app
