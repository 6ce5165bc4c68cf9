#include "app/train/stop.h"

#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace switchyard::app {

namespace {

constexpr std::array kSignals = {SIGTERM, SIGINT, SIGUSR1};
// A handler can reach nothing but a global of this kind.
std::atomic<int> received_signal{0};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
static_assert(std::atomic<int>::is_always_lock_free);

void note_signal(int signal) {
  if (signal == SIGINT && received_signal.load() == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  received_signal.store(signal);
}

void install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // file and MPI calls go on
  sigemptyset(&action.sa_mask);
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  received_signal.store(0);
  install(note_signal);
}

StopSignals::~StopSignals() {
  install(SIG_DFL);
}

int StopSignals::received() {
  return received_signal.load();
}

Deadline::Deadline(std::int64_t max_time_seconds) {
  const auto now = std::chrono::steady_clock::now();
  if (max_time_seconds > 0) {
    has_limit_ = true;
    limit_ = now + std::chrono::seconds(max_time_seconds);
  }
  const char* end_time = std::getenv("SLURM_JOB_END_TIME");
  if (end_time == nullptr) return;
  std::int64_t unix_seconds = 0;
  const char* end = end_time + std::strlen(end_time);
  if (std::from_chars(end_time, end, unix_seconds).ptr != end || unix_seconds <= 0) return;
  // The one use of the wall clock: Slurm tells the time only so. Converted once, so later jumps do not
  // matter.
  const auto left = std::chrono::system_clock::from_time_t(unix_seconds) - std::chrono::system_clock::now();
  const auto slurm_limit = now + std::chrono::duration_cast<std::chrono::steady_clock::duration>(left);
  if (!has_limit_ || slurm_limit < limit_) limit_ = slurm_limit;
  has_limit_ = true;
}

bool Deadline::is_near(double step_seconds, double save_seconds) const {
  if (!has_limit_) return false;
  const std::chrono::duration<double> left = limit_ - std::chrono::steady_clock::now();
  return left.count() < step_seconds + 2 * save_seconds;
}

std::string signal_name(int signal) {
  switch (signal) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGUSR1:
      return "SIGUSR1";
    default:
      return "signal " + std::to_string(signal);
  }
}

}  // namespace switchyard::app
