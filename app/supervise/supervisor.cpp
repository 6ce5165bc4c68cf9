#include "app/supervise/supervisor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <csignal>

#include "app/exit_code.h"
#include "app/supervise/child.h"
#include "app/supervise/progress.h"
#include "app/terminal/format.h"
#include "kernels/runtime/clock.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

using Clock = std::chrono::steady_clock;

class Supervisor {
 public:
  explicit Supervisor(const SuperviseOptions& options)
      : options_(options), launch_(options.command), config_(launch_.config()) {
    if (options_.run.empty() && !config_)
      throw UserError(
          "supervise: the run's folder must be known, and the command is no `switchyard train`; name it "
          "with --run DIR");
    folder_.root = options_.run.empty() ? std::filesystem::path(config_->run.directory) : options_.run;
    if (!options_.gone.empty()) check_can_resize();
  }

  SuperviseReport run() {
    start_ = Clock::now();
    first_step_ = newest_committed_step(folder_);
    report_.step = first_step_;
    RestartPolicy policy(options_.rules, first_step_);
    for (bool goes_on = true; goes_on;) goes_on = attempt(policy);
    return report_;
  }

 private:
  void check_can_resize() {
    if (!config_)
      throw UserError(
          "supervise: --gone needs a `switchyard train` command, whose configuration says which layouts "
          "are possible");
    if (!launch_.has_launcher() || !launch_.ranks())
      throw UserError(
          "supervise: --gone needs a launcher with a number of ranks (mpirun -n N, scripts/launch -n N)");
    if (options_.hosts.empty() && !launch_.hosts())
      throw UserError(
          "supervise: --gone needs to know all hosts; name them with --hosts FILE, or with mpirun's "
          "--hostfile or --host");
  }

  /// The command of the next attempt.
  std::vector<std::string> command() {
    std::vector<std::string> words = launch_.words();
    if (!options_.gone.empty()) {
      const auto gone = read_gone_hosts(options_.gone);
      std::vector<Host> usable;
      std::int64_t slots = 0;
      for (const Host& host : options_.hosts.empty() ? *launch_.hosts() : read_host_file(options_.hosts)) {
        if (gone.contains(host.name)) continue;
        usable.push_back(host);
        slots += host.slots;
      }
      const Layout wanted{*launch_.ranks(), config_->parallel.expert};
      const Layout layout = layout_for(*config_, wanted, slots);
      if (!gone.empty())
        spdlog::warn("hosts gone: {}; running {} rank(s), expert axis {}, instead of {} and {}",
                     fmt::join(gone, ", "), layout.ranks, layout.expert_axis, wanted.ranks,
                     wanted.expert_axis);
      if (!gone.empty()) words = launch_.with(layout, usable, folder_.root / "hosts.supervise");
    }
    return report_.attempts > 0 ? LaunchCommand::without_first_attempt_options(words) : words;
  }

  void pass_on(pid_t process, int signal) {
    const bool is_first = asked_to_stop_ == 0;
    asked_to_stop_ = signal;
    const int passed = is_first && launch_.kills_on_sigterm() ? SIGUSR1 : signal;
    spdlog::info("passing {} on as {}", ::sigabbrev_np(signal), ::sigabbrev_np(passed));
    ::kill(process, passed);
  }

  /// Whether there is to be another one.
  bool attempt(RestartPolicy& policy) {
    constexpr auto kGrace = std::chrono::seconds(3);
    const pid_t process = start_process(command());
    ++report_.attempts;
    report_.exit_code = wait_for(watch_, process, [&](int signal) { pass_on(process, signal); });
    if (const int ended = end_stragglers(kGrace); ended > 0)
      spdlog::warn("{} process(es) that attempt {} left behind were ended", ended, report_.attempts);
    account();
    Decision decision = policy.after(report_.exit_code, report_.step);
    if (asked_to_stop_ != 0 && decision.restarts) decision = {false, 0, "it was asked to stop"};
    const std::string end =
        fmt::format("attempt {} ended with exit code {} ({}) at step {}", report_.attempts, report_.exit_code,
                    describe_exit(report_.exit_code), report_.step);
    if (!decision.restarts) {
      if (report_.exit_code != kExitDone) spdlog::warn("{}; {}", end, decision.reason);
      return false;
    }
    spdlog::warn("{}; {} in {} s; goodput so far {:.1f}%", end, decision.reason, decision.pause_seconds,
                 100 * report_.goodput());
    return !stopped_while_waiting(std::chrono::seconds(decision.pause_seconds));
  }

  bool stopped_while_waiting(std::chrono::milliseconds pause) {
    const auto end = Clock::now() + pause;
    while (Clock::now() < end) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
      const int signal = watch_.next_signal(left);
      if (signal == 0 || signal == SIGCHLD) continue;
      spdlog::warn("SIG{} came between two attempts; the same command goes on from step {}",
                   ::sigabbrev_np(signal), report_.step);
      report_.exit_code = kExitResumable;
      return true;
    }
    return false;
  }

  void account() {
    report_.step = newest_committed_step(folder_);
    report_.wall_seconds = kernels::seconds_since(start_);
    report_.kept_seconds = kept_seconds(folder_.metrics(), first_step_, report_.step);
  }

  SuperviseOptions options_;
  LaunchCommand launch_;
  std::optional<Config> config_;
  RunFolder folder_;
  Watch watch_;
  SuperviseReport report_;
  Clock::time_point start_;
  std::int64_t first_step_ = -1;
  int asked_to_stop_ = 0;
};

}  // namespace

SuperviseReport supervise(const SuperviseOptions& options) {
  return Supervisor(options).run();
}

}  // namespace switchyard::app
