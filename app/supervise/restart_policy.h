// Whether a run that ended is started again, and how long to wait before. Pure rules, no processes and no
// clock.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard::app {

struct RestartRules {
  std::int64_t idle_restarts = 3;  ///< restarts without a new checkpoint in between before giving up
  std::int64_t first_pause_seconds = 1;
  std::int64_t longest_pause_seconds = 300;
  /// Whether exit code 75 is started again as well. Without it a run that was stopped stays stopped.
  bool requeue = false;
};

/// What an exit code means, in a few words: "a hang", "killed by SIGKILL". `code` as a shell gives it: 128 +
/// N after signal N.
std::string describe_exit(int code);

/// Codes that another attempt cannot mend without a person: usage, data, no usable checkpoint, numerics, and
/// a program that cannot be started (126, 127). A full disk, a hang, a lost peer or device, a crash, a kill
/// may be gone.
bool may_restart(int code);

struct Decision {
  bool restarts = false;
  std::int64_t pause_seconds = 0;
  std::string reason;  ///< for the log
};

class RestartPolicy {
 public:
  /// `step`: the newest committed step before the first attempt, -1 without one.
  RestartPolicy(const RestartRules& rules, std::int64_t step) : rules_(rules), step_(step) {}

  /// After an attempt that ended with `code` and left `step` as the newest committed one. The pause doubles
  /// with each restart without progress up to the longest one, and falls back to the first after progress.
  Decision after(int code, std::int64_t step);

 private:
  RestartRules rules_;
  std::int64_t step_;
  std::int64_t idle_ = 0;  // restarts since the last progress
};

}  // namespace switchyard::app
