#include "app/commands/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/command_line/arguments.h"
#include "app/command_line/ranks.h"
#include "app/exit_code.h"
#include "app/verify/verify.h"

namespace switchyard::app {

namespace {

void print_verdict(const Verdict& verdict) {
  fmt::print("  {:<48} {:>6.2f} s  {}\n", verdict.tried.name, verdict.seconds,
             verdict.difference.empty() ? "same bits" : "DIFFERENT: " + verdict.difference);
  std::fflush(stdout);
}

int conclude(const std::vector<Verdict>& verdicts, bool prints) {
  const auto failures = std::count_if(verdicts.begin(), verdicts.end(),
                                      [](const Verdict& verdict) { return !verdict.difference.empty(); });
  if (prints) {
    if (failures == 0)
      fmt::print(
          "all {} layouts gave the bits of one rank: losses, counts, gradients, norm, weights, moments, "
          "biases\n",
          verdicts.size());
    else
      fmt::print("{} of {} layouts differ from one rank\n", failures, verdicts.size());
  }
  return failures == 0 ? kExitDone : kExitNumerics;
}

}  // namespace

int run_verify(const Arguments& arguments) {
  CLI::App command(
      "Scale CONFIG down, train a few steps of it on several layouts, and compare every bit with one rank:\n"
      "  switchyard verify configs/quickstart.yaml            threads of this process as ranks\n"
      "  mpirun -n 4 switchyard verify configs/quickstart.yaml    the ranks it was launched with\n"
      "All switches that change numbers are kept; sizes are made small and the tokens are made up, so no "
      "data\n"
      "is needed. Exit code 0: the same bits everywhere; 6: the first difference is named.",
      "switchyard verify");
  ConfigArguments config_arguments;
  bool all = false;
  add_config_arguments(command, config_arguments);
  command.add_flag("--all", all, "also the layouts of many ranks");
  if (!parse_arguments(command, arguments)) return kExitDone;

  return run_on_ranks("verify", [&](parallel::MpiWorld& mpi) {
    const Config small = scaled_down(load_config(config_arguments));
    parallel::Communicator& world = mpi.communicator();
    if (world.size() == 1) {
      fmt::print("{} scaled down, against 1 rank, 1 thread:\n", config_arguments.file.string());
      return conclude(verify_on_threads(small, local_cases(small, all), {}, print_verdict), true);
    }
    const bool prints = world.rank() == 0;
    if (prints) fmt::print("{} scaled down, against 1 rank, 1 thread:\n", config_arguments.file.string());
    const auto tell = [&](const Verdict& verdict) {
      if (prints) print_verdict(verdict);
    };
    return conclude(verify_on_world(small, world_cases(small, world.size()), world, mpi.place(), tell),
                    prints);
  });
}

}  // namespace switchyard::app
