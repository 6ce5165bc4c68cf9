#include "app/commands/train.h"

#include "app/command_line/arguments.h"
#include "app/command_line/ranks.h"
#include "app/drills/drills.h"
#include "app/exit_code.h"
#include "app/train/trainer.h"
#include "app/watch/rank_watch.h"

namespace switchyard::app {

namespace {

// The run itself, followed by the watchdog and, where drills are asked for, by them.
int train_watched(parallel::MpiWorld& world, const Config& config, TrainOptions options,
                  const std::vector<Drill>& asked, const parallel::GuardianLink& guardian) {
  const auto watch =
      std::make_shared<RankWatch>(world, config, RunFolder{config.run.directory}.flights(), guardian);
  world.keep(watch);
  std::optional<Drills> drills;
  options.place_observer = &watch->recorder();
  if (!asked.empty()) {
    drills.emplace(asked, world.communicator().rank(), watch->recorder(), watch->recorder());
    world.communicator().set_observer(&*drills);
    options.place_observer = &*drills;
    options.probe = &*drills;
    options.io = &drills->io();
  }
  try {
    const int code = run_training(config, world.communicator(), options);
    world.communicator()
        .barrier();  // so that a rank that never comes is seen while the others can still tell
    world.communicator().set_observer(nullptr);
    watch->recorder().closing();
    return code;
  } catch (...) {
    watch->failing(std::current_exception());
    throw;
  }
}

}  // namespace

int run_train(const Arguments& arguments) {
  CLI::App command(
      "Train the model of CONFIG, or go on from the newest checkpoint of its run folder:\n"
      "  mpirun -n 2 switchyard train configs/quickstart.yaml --set train.steps=500\n"
      "The layout (ranks, expert axis, threads) may change between runs; the numbers do not.\n"
      "SIGTERM, SIGINT and SIGUSR1 stop with a checkpoint (exit code 75); the same command resumes.",
      "switchyard train");
  ConfigArguments config_arguments;
  LogOptions log;
  TrainOptions options;
  add_config_arguments(command, config_arguments);
  command.add_flag("--fresh", options.fresh, "start over: delete the run's checkpoints and metrics");
  std::vector<std::string> injected;
  command.add_option("--inject", injected, "a fault on purpose, see below; may be repeated")
      ->allow_extra_args(false)
      ->type_name("KIND@...");
  command.footer(drill_help());
  add_log_arguments(command, log);
  if (!parse_arguments(command, arguments)) return kExitDone;

  std::vector<Drill> drills;
  for (const std::string& text : injected) drills.push_back(parse_drill(text));
  const parallel::GuardianLink guardian = parallel::start_guardian(kExitPeer);
  // Until the very end: a request to stop that comes late must not kill a rank that is closing.
  const StopSignals signals;
  return run_on_ranks("train", [&](parallel::MpiWorld& world) {
    log.rank = world.communicator().rank();
    log.ranks = world.communicator().size();
    set_up_log(log);
    const Config config = load_config(config_arguments);
    options.place = world.place();
    if (log.rank == 0) {
      std::error_code ignored;  // the first write into the folder names what is wrong with it
      std::filesystem::create_directories(config.run.directory, ignored);
      add_log_file(RunFolder{config.run.directory}.log(), log);
    }
    return train_watched(world, config, options, drills, guardian);
  });
}

}  // namespace switchyard::app
