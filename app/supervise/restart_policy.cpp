#include "app/supervise/restart_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "app/exit_code.h"

namespace switchyard::app {

namespace {

constexpr int kSignalBase = 128;
constexpr int kCannotExecute = 126;
constexpr int kNotFound = 127;

std::string signal_text(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? fmt::format("killed by signal {}", number) : fmt::format("killed by SIG{}", name);
}

}  // namespace

std::string describe_exit(int code) {
  switch (code) {
    case kExitDone:
      return "done";
    case kExitUsage:
      return "usage or configuration";
    case kExitData:
      return "data";
    case kExitCheckpoint:
      return "no usable checkpoint";
    case kExitDisk:
      return "the disk";
    case kExitNumerics:
      return "the numbers";
    case kExitHang:
      return "a hang";
    case kExitPeer:
      return "a lost rank";
    case kExitDevice:
      return "a device";
    case kExitInternal:
      return "a mistake of the program";
    case kExitResumable:
      return "stopped, can be resumed";
    case kCannotExecute:
    case kNotFound:
      return "the command cannot be started";
    default:
      return code > kSignalBase ? signal_text(code - kSignalBase) : "of the launcher";
  }
}

bool may_restart(int code) {
  switch (code) {
    case kExitDone:
    case kExitUsage:
    case kExitData:
    case kExitCheckpoint:
    case kExitNumerics:
    case kExitResumable:
    case kCannotExecute:
    case kNotFound:
      return false;
    default:
      return true;
  }
}

Decision RestartPolicy::after(int code, std::int64_t step) {
  if (code == kExitDone) return {false, 0, "done"};
  const bool is_requeued = code == kExitResumable && rules_.requeue;
  if (!may_restart(code) && !is_requeued)
    return {false, 0,
            code == kExitResumable ? "it was stopped on purpose; the same command resumes it"
                                   : "starting it again cannot mend that"};
  if (step > step_) idle_ = 0;
  step_ = std::max(step_, step);
  if (idle_ >= rules_.idle_restarts)
    return {false, 0, fmt::format("giving up after {} restart(s) without a new checkpoint", idle_)};
  std::int64_t pause = rules_.first_pause_seconds;
  for (std::int64_t i = 0; i < idle_ && pause < rules_.longest_pause_seconds; ++i) pause *= 2;
  ++idle_;
  return {true, std::min(pause, rules_.longest_pause_seconds), "starting it again"};
}

}  // namespace switchyard::app
