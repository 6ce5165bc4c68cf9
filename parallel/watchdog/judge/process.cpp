#include "parallel/watchdog/judge/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <sstream>
#include <string_view>

namespace switchyard::parallel {

namespace {

// The beginning of a file; empty if it cannot be read.
std::string text_of(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  std::array<char, 4096> bytes{};
  const ssize_t size = ::read(file, bytes.data(), bytes.size());
  ::close(file);
  return {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

struct Stat {
  char state = 0;
  std::int64_t start_ticks = 0;
};

// proc(5): the fields after the name, which stands in parentheses and may hold anything.
Stat stat_of(std::int64_t pid) {
  const std::string text = text_of(fmt::format("/proc/{}/stat", pid));
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream rest(text.substr(end + 1));
  Stat stat;
  rest >> stat.state;
  constexpr int kStartField = 19;  // counted from the state
  std::string field;
  for (int number = 1; number < kStartField; ++number) rest >> field;
  rest >> stat.start_ticks;
  return stat;
}

}  // namespace

std::int64_t process_start(std::int64_t pid) {
  return stat_of(pid).start_ticks;
}

ProcessId own_process() {
  return {::getpid(), stat_of(::getpid()).start_ticks};
}

ProcessState state_of(const ProcessId& process) {
  constexpr std::string_view kEnded("\0ZX", 3);  // no such process, or dead and not yet fetched by its parent
  const Stat stat = stat_of(process.pid);
  if (kEnded.find(stat.state) != std::string_view::npos || stat.start_ticks != process.start_ticks)
    return ProcessState::gone;
  if (stat.state == 'T') return ProcessState::stopped;
  return stat.state == 't' ? ProcessState::traced : ProcessState::runs;
}

void kill_process(const ProcessId& process) {
  // 0 and less are whole groups of processes to kill(2), and 1 is never ours, whatever the record says.
  if (process.pid > 1 && state_of(process) != ProcessState::gone)
    ::kill(static_cast<pid_t>(process.pid), SIGKILL);
}

std::string host_identity() {
  std::array<char, 64> space{};
  const ssize_t length = ::readlink("/proc/self/ns/pid", space.data(), space.size());
  return text_of("/proc/sys/kernel/random/boot_id") +
         std::string(space.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
}

bool is_traced() {
  const std::string text = text_of("/proc/self/status");
  const std::size_t at = text.find("TracerPid:\t");
  return at != std::string::npos && text.compare(at + 11, 2, "0\n") != 0;
}

}  // namespace switchyard::parallel
