#include "app/commands/supervise.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/command_line/arguments.h"
#include "app/config/source/scalars.h"
#include "app/exit_code.h"
#include "app/supervise/supervisor.h"
#include "app/terminal/format.h"
#include "app/terminal/result.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

void add_duration(CLI::App& command, const char* name, std::int64_t& seconds, const char* doc) {
  const auto set = [&seconds, name](const std::string& word) {
    const auto parsed = parse_duration(word);
    if (const auto* refusal = std::get_if<Refusal>(&parsed))
      throw UserError(
          fmt::format("switchyard supervise: {} {}; got {}", name, refusal->rule, printable(word)));
    seconds = std::get<std::int64_t>(parsed);
  };
  command.add_option_function<std::string>(name, set, doc)->type_name("TIME");
}

}  // namespace

int run_supervise(const Arguments& arguments) {
  CLI::App command(
      "Run a training command and start it again when it fails, until it is done:\n"
      "  switchyard supervise -- mpirun -n 4 switchyard train configs/quickstart.yaml\n"
      "Started again: after a full disk (5), hang (7), lost rank (8), device (9), crash, kill. Not: usage "
      "(2), data\n"
      "(3), checkpoint (4), numbers (6), stopped on purpose (75). Without a new checkpoint in between, the "
      "pause\n"
      "doubles, and after --idle-restarts of them it gives up with the last exit code. Signals are passed "
      "on.\n"
      "Hosts in the file of --gone (one per line, read before each attempt) are left out: -n, the host list "
      "and\n"
      "parallel.expert are set to what still fits. --fresh and --inject act on the first attempt only.\n"
      "The last line says the goodput: the share of wall time in steps that were kept.",
      "switchyard supervise");
  SuperviseOptions options;
  LogOptions log;
  command.add_option("--run", options.run, "run folder; needed if COMMAND is no `switchyard train`")
      ->type_name("DIR");
  command
      .add_option("--hosts", options.hosts, "all hosts, as `name slots=N` lines; default: the launcher's own")
      ->type_name("FILE");
  command.add_option("--gone", options.gone, "hosts not to use; the file may come later")->type_name("FILE");
  command
      .add_option("--idle-restarts", options.rules.idle_restarts,
                  "without a new checkpoint, before giving up")
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("N")
      ->capture_default_str();
  add_duration(command, "--pause", options.rules.first_pause_seconds, "before a restart after progress [1s]");
  add_duration(command, "--longest-pause", options.rules.longest_pause_seconds,
               "cap of the doubled pause [5m]");
  command.add_flag("--requeue", options.rules.requeue, "start again after exit code 75 too");
  add_log_arguments(command, log);
  const auto dashes = std::ranges::find(arguments, "--");
  if (!parse_arguments(command, Arguments(arguments.begin(), dashes))) return kExitDone;
  if (dashes != arguments.end()) options.command.assign(dashes + 1, arguments.end());
  set_up_log(log);

  const SuperviseReport report = supervise(options);
  print_result(fmt::format("{} after {} attempt(s) at step {}: goodput {:.1f}% ({} in kept steps of {})\n",
                           report.exit_code == kExitDone ? "done" : "ended", report.attempts, report.step,
                           100 * report.goodput(), format_duration(report.kept_seconds),
                           format_duration(report.wall_seconds)));
  return report.exit_code;
}

}  // namespace switchyard::app
