#include "app/commands/train.h"

#include "app/command_line/arguments.h"
#include "app/command_line/ranks.h"
#include "app/exit_code.h"
#include "app/train/trainer.h"

namespace switchyard::app {

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
  add_log_arguments(command, log);
  if (!parse_arguments(command, arguments)) return kExitDone;

  return run_on_ranks("train", [&](parallel::MpiWorld& world) {
    log.rank = world.communicator().rank();
    log.ranks = world.communicator().size();
    set_up_log(log);
    const Config config = load_config(config_arguments);
    options.ranks_on_host = world.place().ranks_on_host;
    if (log.rank == 0) {
      std::error_code ignored;  // the first write into the folder names what is wrong with it
      std::filesystem::create_directories(config.run.directory, ignored);
      add_log_file(RunFolder{config.run.directory}.log(), log);
    }
    return run_training(config, world.communicator(), options);
  });
}

}  // namespace switchyard::app
