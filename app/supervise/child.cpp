#include "app/supervise/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include <filesystem>

#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

constexpr int kNotFound = 127;
constexpr int kSignalBase = 128;

// After fork: only calls that are safe there.
[[noreturn]] void become(char* const* words, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kNotFound);  // it died before it could be watched
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  if (null >= 0) ::dup2(null, STDIN_FILENO);
  ::execvp(words[0], words);
  ::_exit(kNotFound);
}

int shell_code(int status) {
  return WIFSIGNALED(status) ? kSignalBase + WTERMSIG(status) : WEXITSTATUS(status);
}

// Parent of a process by /proc/PID/stat: the second field after the command's closing parenthesis. 0 if it is
// gone.
pid_t parent_of(const std::string& process) {
  std::ifstream file("/proc/" + process + "/stat");
  std::string line;
  std::getline(file, line);
  const auto close = line.rfind(')');
  char state = 0;
  int parent = 0;
  if (close == std::string::npos || std::sscanf(line.c_str() + close + 1, " %c %d", &state, &parent) != 2)
    return 0;
  return parent;
}

int kill_children() {
  int count = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos || parent_of(name) != ::getpid()) continue;
    if (::kill(static_cast<pid_t>(std::stol(name)), SIGKILL) == 0) ++count;
  }
  return count;
}

// True once no child is left.
bool reap_all() {
  for (;;) {
    const pid_t process = ::waitpid(-1, nullptr, WNOHANG);
    if (process < 0) return true;  // ECHILD: what else there is cannot come from this call
    if (process == 0) return false;
  }
}

}  // namespace

Watch::Watch() {
  sigemptyset(&signals_);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD}) sigaddset(&signals_, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Watch::~Watch() {
  while (next_signal(std::chrono::milliseconds(0)) != 0) {  // what waits was for the run that has ended
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int Watch::next_signal(std::chrono::milliseconds patience) const {
  constexpr long kNanoseconds = 1'000'000;
  const timespec limit{patience.count() / 1000, patience.count() % 1000 * kNanoseconds};
  const int signal = ::sigtimedwait(&signals_, nullptr, &limit);
  return signal < 0 ? 0 : signal;
}

pid_t start_process(const std::vector<std::string>& words) {
  std::vector<std::string> own = words;
  std::vector<char*> pointers;
  for (std::string& word : own) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process < 0) throw InternalError(fmt::format("supervise: fork failed: {}", std::strerror(errno)));
  if (process == 0) become(pointers.data(), parent);
  ::setpgid(process, process);  // in both, so that neither comes too late
  return process;
}

int wait_for(const Watch& watch, pid_t process, const std::function<void(int)>& on_signal) {
  constexpr auto kPatience = std::chrono::milliseconds(500);  // a SIGCHLD may stand for several ends
  for (;;) {
    for (;;) {
      int status = 0;
      const pid_t ended = ::waitpid(-1, &status, WNOHANG);
      if (ended <= 0) break;
      if (ended == process) return shell_code(status);
    }
    const int signal = watch.next_signal(kPatience);
    if (signal != 0 && signal != SIGCHLD) on_signal(signal);
  }
}

int end_stragglers(std::chrono::milliseconds grace) {
  constexpr auto kPause = std::chrono::milliseconds(20);
  const auto end = std::chrono::steady_clock::now() + grace;
  while (!reap_all()) {
    if (std::chrono::steady_clock::now() >= end) break;
    std::this_thread::sleep_for(kPause);
  }
  int count = 0;
  // Children of what is ended become ours and are ended in the next round.
  while (!reap_all()) {
    count += kill_children();
    std::this_thread::sleep_for(kPause);
  }
  return count;
}

}  // namespace switchyard::app
