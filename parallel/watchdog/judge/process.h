// Processes of this host as the kernel shows them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "parallel/watchdog/judge/judge.h"

namespace switchyard::parallel {

/// A process for good: numbers are used again, but not together with the time of start.
struct ProcessId {
  std::int64_t pid = 0;
  std::int64_t start_ticks = 0;  ///< since boot; 0 = unknown
};

ProcessId own_process();
/// 0 if there is no such process.
std::int64_t process_start(std::int64_t pid);
/// gone for a process that ended, also one that nobody has waited for yet, and for a number used again.
ProcessState state_of(const ProcessId& process);
/// SIGKILL, if it is still that process.
void kill_process(const ProcessId& process);
/// Equal for two processes exactly if they run under the same kernel and see each other's process numbers.
std::string host_identity();
/// Whether a debugger holds this process.
bool is_traced();

}  // namespace switchyard::parallel
