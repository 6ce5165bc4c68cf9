// One attempt as a process, with everything that it starts on this host.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace switchyard::app {

/// While alive: SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD wait to be asked for instead of acting, and
/// processes whose parent dies become ours, so that none outlives an attempt unseen. Call from one thread.
class Watch {
 public:
  Watch();
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// The next signal, 0 if none came within the time.
  int next_signal(std::chrono::milliseconds patience) const;

 private:
  sigset_t signals_{};
  sigset_t before_{};
};

/// Starts `words`, looked up in PATH, as leader of a process group without a terminal's input. It gets
/// SIGTERM if this process dies. Returns its number; a command that cannot be started ends with code 127.
/// Throws InternalError.
pid_t start_process(const std::vector<std::string>& words);

/// Waits until the process ends, calling `on_signal` for each stop signal that comes meanwhile. Returns its
/// exit code as a shell gives it.
int wait_for(const Watch& watch, pid_t process, const std::function<void(int)>& on_signal);

/// Waits `grace` for whatever the attempt left behind on this host (ranks of a launcher that died), then ends
/// it. Returns how many had to be ended.
int end_stragglers(std::chrono::milliseconds grace);

}  // namespace switchyard::app
