#include "app/watch/rank_watch.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <limits>

#include "app/command_line/dispatch.h"
#include "app/exit_code.h"
#include "app/train/messages.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

double seconds_or_never(std::int64_t seconds) {
  return seconds == 0 ? std::numeric_limits<double>::infinity() : static_cast<double>(seconds);
}

// A rank that nobody watches keeps its own record when the processor or the library ends it. Where others
// watch, they keep it: they can do so for any death. A handler can reach nothing but a global.
struct LastWords {
  const FlightWriter* writer = nullptr;
  const parallel::Recorder* recorder = nullptr;
  FlightWriter::Who who;
};
LastWords last_words;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
constexpr std::array kFaults = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

void say_last_words(int signal) {
  static std::array<parallel::Event, parallel::EventRing::kEvents> events;
  const std::int64_t count = last_words.recorder->read(events.data());
  std::array<char, 64> why{};
  fmt::format_to_n(why.data(), why.size() - 1, "signal {}", signal);
  last_words.writer->write(last_words.who, std::span(events).first(static_cast<std::size_t>(count)),
                           why.data());
  std::raise(signal);  // the handler was for once: now it ends the process
}

// Not where another handler is: sanitizers and debuggers have more to say.
void catch_faults() {
  for (const int signal : kFaults) {
    struct sigaction before {};
    if (sigaction(signal, nullptr, &before) != 0 || before.sa_handler != SIG_DFL) continue;
    struct sigaction action {};
    action.sa_handler = say_last_words;
    action.sa_flags = SA_RESETHAND | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
  }
}

void release_faults() {
  for (const int signal : kFaults) {
    struct sigaction now {};
    if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler == say_last_words)
      std::signal(signal, SIG_DFL);
  }
}

// Equal on all ranks: the time at which rank 0 started.
std::filesystem::path folder_of_this_run(parallel::Communicator& world,
                                         const std::filesystem::path& flights) {
  const std::string now = fmt::format("{:%Y-%m-%dT%H-%M-%S}", fmt::gmtime(std::time(nullptr)));
  return flights / broadcast_text(world, now);
}

}  // namespace

RankWatch::RankWatch(parallel::MpiWorld& world, const Config& config, const std::filesystem::path& flights,
                     const parallel::GuardianLink& guardian)
    : rank_(world.communicator().rank()),
      host_(world.place().host),
      writer_(folder_of_this_run(world.communicator(), flights), world.communicator().size()) {
  const WatchdogConfig& given = config.watchdog;
  parallel::WatchdogOptions options;
  options.is_enabled = given.enable;
  options.limits = {seconds_or_never(given.silent_after_seconds), seconds_or_never(given.hang_after_seconds)};
  options.slow_ratio = given.slow_ratio;
  options.slow_steps = given.slow_steps;
  options.ranks_as_hosts = std::getenv("SWITCHYARD_RANKS_AS_HOSTS") != nullptr;
  options.hung_code = kExitHang;
  options.dead_code = kExitPeer;
  parallel::WatchdogActions actions;
  actions.record = [this](const parallel::RankPlace& who, std::span<const parallel::Event> events,
                          const std::string& why) {
    writer_.write({who.rank, who.host, who.process.pid}, events, why);
  };
  actions.tell = [this](parallel::Fate fate, const std::string& text) { tell(fate, text); };
  actions.warn = [](const std::string& text) { spdlog::warn("{}", text); };
  watchdog_ = std::make_unique<parallel::Watchdog>(world.communicator(), host_, options, std::move(actions),
                                                   guardian);
  world.communicator().set_observer(&watchdog_->recorder());
  if (!watchdog_->has_peers()) {
    catches_faults_ = true;
    last_words = {&writer_, &watchdog_->recorder(), {rank_, host_, ::getpid()}};
    catch_faults();
  }
}

RankWatch::~RankWatch() {
  if (catches_faults_) release_faults();
}

// Straight to the descriptor: the rank's own thread may hold the lock of the stream.
void RankWatch::tell(parallel::Fate fate, const std::string& text) const {
  const std::string all = fmt::format("{}\nflight records: `switchyard inspect {}`", text, writer_.folder());
  const std::exception_ptr error = fate == parallel::Fate::hung ? std::make_exception_ptr(HangError(all))
                                                                : std::make_exception_ptr(PeerError(all));
  const std::string shown =
      fmt::format("{} rank {}: {}", host_, rank_, describe_failure(error, "train").text);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, shown.data(), shown.size());
}

void RankWatch::failing(const std::exception_ptr& error) {
  const Failure failure = describe_failure(error, "train");
  watchdog_->failing(failure.exit_code, failure.text);
}

}  // namespace switchyard::app
