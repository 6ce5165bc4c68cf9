// Runs a training command until it is done: starts it again where that can help, on fewer ranks where hosts
// are gone.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/supervise/launch.h"
#include "app/supervise/restart_policy.h"
#include "app/train/run_folder.h"

namespace switchyard::app {

struct SuperviseOptions {
  std::vector<std::string> command;
  std::filesystem::path run;    ///< empty: from the command's configuration
  std::filesystem::path hosts;  ///< all hosts; empty: those that the command's launcher names
  std::filesystem::path gone;   ///< hosts that are not to be used, read before each attempt; may be absent
  RestartRules rules;
};

struct SuperviseReport {
  int exit_code = 0;  ///< of the last attempt
  int attempts = 0;
  std::int64_t step = -1;   ///< newest committed one
  double wall_seconds = 0;  ///< from the first start on, pauses included
  double kept_seconds = 0;  ///< of it, in steps that were kept
  double goodput() const { return wall_seconds > 0 ? kept_seconds / wall_seconds : 0; }
};

/// Blocks until the run is done, cannot go on or was stopped by a signal to this process, which is passed on:
/// the first SIGTERM or SIGINT reaches mpirun as SIGUSR1, since it answers the others by killing its ranks.
/// Logs each ending. Throws UserError for a command whose run folder or ranks cannot be told where they must
/// be.
SuperviseReport supervise(const SuperviseOptions& options);

}  // namespace switchyard::app
