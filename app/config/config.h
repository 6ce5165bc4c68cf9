// Everything a run is told, in one value. Filled by app/config/load.h from YAML; app/config/table lists every
// key once. The model's and the optimizer's parts are moe's own structs.
#pragma once

#include <cstdint>
#include <string>

#include "app/guard/config.h"
#include "moe/model/config.h"
#include "moe/optim/config.h"

namespace switchyard::app {

enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };
enum class Reproducibility : std::uint8_t { layout };

struct RunConfig {
  std::string name = "run";
  std::int64_t seed = 1;
  std::string directory;  ///< empty until resolved; then runs/<name> unless given
  DeviceChoice device = DeviceChoice::automatic;
  std::int64_t threads = 0;           ///< per rank; 0 = cores of the host / ranks on it
  std::int64_t max_time_seconds = 0;  ///< 0 = no limit
  Reproducibility reproducibility = Reproducibility::layout;
};

struct DataConfig {
  std::string train;                   ///< folder written by `switchyard prepare`
  std::string validation;              ///< empty = the held-out split of `train`
  std::int64_t sequence_length = 256;  ///< T
  std::int64_t prefetch = 4;           ///< micro-batches read ahead
};

struct TrainConfig {
  std::string init_from;      ///< run folder or checkpoint whose weights a new run starts with; empty = none
  std::int64_t steps = 1000;  ///< optimizer updates
  std::int64_t global_batch = 32;  ///< sequences per step over all ranks
  std::int64_t micro_batch = 4;    ///< B, sequences per unit; divides global_batch
  moe::Recompute recompute = moe::Recompute::none;
  std::int64_t evaluate_every = 100;   ///< steps; 0 = never
  std::int64_t evaluate_batches = 16;  ///< micro-batches of held-out text per evaluation
  std::int64_t log_every = 10;         ///< steps between log lines; metrics hold every step
};

struct ParallelConfig {
  std::int64_t expert = 1;         ///< Pe, size of the expert axis
  std::int64_t exchange_rows = 0;  ///< most rows a rank receives in one round of an exchange; 0 = no bound
};

struct CheckpointConfig {
  std::int64_t every = 0;  ///< steps; 0 = only at the end and on signals
  /// Mean time between failures of the whole job: the interval follows from it and the measured cost of a
  /// save; 0 = `every` says
  std::int64_t failure_interval_seconds = 0;
  std::int64_t keep = 3;        ///< newest checkpoints kept
  std::int64_t keep_every = 0;  ///< checkpoints of each n-th step are never deleted; 0 = none
  bool background = true;       ///< write while training goes on
};

struct WatchdogConfig {
  bool enable = true;
  std::int64_t silent_after_seconds = 7;  ///< 0 = never
  std::int64_t hang_after_seconds = 300;  ///< 0 = never
  double slow_ratio = 1.25;               ///< 1 = nobody is slow
  std::int64_t slow_steps = 10;
};

struct MetricsConfig {
  bool per_expert = true;  ///< counts of every expert of every layer in metrics.jsonl
};

struct Config {
  RunConfig run;
  moe::ModelConfig model;
  DataConfig data;
  TrainConfig train;
  moe::OptimizerConfig optimizer;
  ParallelConfig parallel;
  CheckpointConfig checkpoint;
  GuardConfig guard;
  WatchdogConfig watchdog;
  MetricsConfig metrics;
};

/// A Config before any file is read: the members' initialisers, with 0 for what is derived from other values
/// (model.vocab_size from the data, model.kv_heads from heads, model.max_sequence_length from the data
/// section).
Config default_config();

/// Replaces the zeros and empties that follow from other keys: run.directory, model.kv_heads,
/// model.max_sequence_length. model.vocab_size stays 0 until the data is open. Idempotent.
void resolve(Config& config);

}  // namespace switchyard::app
