// Reasons to stop before the last step: a signal or a time limit. Seen between steps, never inside one.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace switchyard::app {

/// While alive, SIGTERM, SIGINT and SIGUSR1 ask for a stop instead of ending the process. A second SIGINT
/// ends it at once, for a person at a terminal. One at a time in a process.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// The signal that came, or 0.
  static int received();
};

/// The moment at which this process must have stopped.
class Deadline {
 public:
  /// max_time_seconds from now (0 = none), or SLURM_JOB_END_TIME (Unix seconds) if that is sooner.
  explicit Deadline(std::int64_t max_time_seconds);
  /// Whether another step of `step_seconds`, and a save of `save_seconds` with its time doubled for safety,
  /// would pass the deadline.
  bool is_near(double step_seconds, double save_seconds) const;

 private:
  bool has_limit_ = false;
  std::chrono::steady_clock::time_point limit_;
};

/// "SIGTERM", "SIGINT", "SIGUSR1".
std::string signal_name(int signal);

}  // namespace switchyard::app
