// Keys of all sections but the model's.
#include <array>

#include "app/config/table/option.h"

namespace switchyard::app {

namespace {

using moe::ModelConfig;
using moe::OptimizerConfig;
using moe::ScheduleConfig;

template <auto member>
constexpr auto run = &field<&Config::run, member>;
template <auto member>
constexpr auto data = &field<&Config::data, member>;
template <auto member>
constexpr auto train = &field<&Config::train, member>;
template <auto member>
constexpr auto optimizer = &field<&Config::optimizer, member>;
template <auto member>
constexpr auto schedule = &field<&Config::optimizer, &OptimizerConfig::schedule, member>;
template <auto member>
constexpr auto parallel = &field<&Config::parallel, member>;
template <auto member>
constexpr auto checkpoint = &field<&Config::checkpoint, member>;

constexpr std::array<std::string_view, 3> kDevices = {"auto", "cpu", "cuda"};
constexpr std::array<std::string_view, 1> kReproducibilities = {"layout"};
constexpr std::array<std::string_view, 2> kPrecisions = {"fp32", "bf16"};  // of DType
static_assert(static_cast<int>(DType::f32) == 0 && static_cast<int>(DType::bf16) == 1);
constexpr std::array<std::string_view, 2> kRecomputes = {"none", "block"};
constexpr std::array<std::string_view, 1> kOptimizers = {"adamw"};
constexpr std::array<std::string_view, 4> kSchedules = {"constant", "linear", "cosine", "wsd"};

/// There is one optimizer, so the key has nothing to store; it stands in files so that they keep their
/// meaning when a second one comes.
Choice only_optimizer() {
  return {kOptimizers, [](Config&) { return std::size_t{0}; }, [](Config&, std::size_t) {}};
}

constexpr std::int64_t kMostSteps = 1'000'000'000'000;
constexpr std::int64_t kMostBatch = 16'777'216;
constexpr std::int64_t kMostTokens = 16'777'216;

}  // namespace

std::span<const Option> run_options() {
  constexpr auto manner = Effect::manner;
  static const Option table[] = {
      {"run.name", Text{run<&RunConfig::name>, TextForm::name}, "", "name of the run and of its folder",
       manner},
      {"run.seed", Integer{run<&RunConfig::seed>, 0, kAnyInteger}, "", "starts all randomness"},
      {"run.directory", Text{run<&RunConfig::directory>, TextForm::path}, "",
       "folder of everything the run writes; empty = runs/<name>", manner},
      {"run.device", choice<&Config::run, &RunConfig::device>(kDevices), "",
       "where numbers are computed; auto = cpu, as no GPU has proven CUDA here yet"},
      {"run.threads", Integer{run<&RunConfig::threads>, 0, 4096}, "",
       "CPU threads of each rank; 0 = the host's cores / its ranks", manner},
      {"run.max_time", Duration{run<&RunConfig::max_time_seconds>}, "",
       "stop with a checkpoint after this time; 0 = never", manner},
      {"run.reproducibility", choice<&Config::run, &RunConfig::reproducibility>(kReproducibilities), "",
       "layout = the same bits on any number of ranks and threads"},

      {"data.train", Text{data<&DataConfig::train>, TextForm::path, true}, "",
       "folder written by `switchyard prepare`"},
      {"data.validation", Text{data<&DataConfig::validation>, TextForm::path}, "",
       "folder to evaluate on; empty = the held-out part of data.train"},
      {"data.sequence_length", Integer{data<&DataConfig::sequence_length>, 1, kMostTokens}, "tokens",
       "length of a training sequence"},
      {"data.prefetch", Integer{data<&DataConfig::prefetch>, 0, 1024}, "micro-batches",
       "read ahead; 0 = none", manner},

      {"train.init_from", Text{train<&TrainConfig::init_from>, TextForm::path}, "",
       "run or checkpoint that a new run takes its weights from; empty = random"},
      {"train.steps", Integer{train<&TrainConfig::steps>, 1, kMostSteps, true}, "steps",
       "optimizer updates of the whole run"},
      {"train.global_batch", Integer{train<&TrainConfig::global_batch>, 1, kMostBatch, true}, "sequences",
       "per step, over all ranks"},
      {"train.micro_batch", Integer{train<&TrainConfig::micro_batch>, 1, kMostBatch, true}, "sequences",
       "computed at once by one rank; divides global_batch"},
      {"train.precision", choice<&Config::model, &ModelConfig::activation>(kPrecisions), "",
       "format of weights and activations in products"},
      {"train.recompute", choice<&Config::train, &TrainConfig::recompute>(kRecomputes), "",
       "compute again in the backward pass instead of keeping", manner},
      {"train.evaluate_every", Integer{train<&TrainConfig::evaluate_every>, 0, kMostSteps, true}, "steps",
       "between evaluations on held-out text; 0 = never", manner},
      {"train.evaluate_batches", Integer{train<&TrainConfig::evaluate_batches>, 1, kMostSteps, true},
       "micro-batches", "of held-out text per evaluation", manner},
      {"train.log_every", Integer{train<&TrainConfig::log_every>, 1, kMostSteps, true}, "steps",
       "between lines of the log", manner},

      {"optimizer.kind", only_optimizer(), "", "AdamW with decoupled weight decay"},
      {"optimizer.learning_rate", Real{optimizer<&OptimizerConfig::learning_rate>, 0, 10, true}, "",
       "peak learning rate"},
      {"optimizer.beta1", Real{optimizer<&OptimizerConfig::beta1>, 0, 1, false, true}, "",
       "decay of the mean of gradients"},
      {"optimizer.beta2", Real{optimizer<&OptimizerConfig::beta2>, 0, 1, false, true}, "",
       "decay of the mean of squared gradients"},
      {"optimizer.epsilon", Real{optimizer<&OptimizerConfig::epsilon>, 0, 1, true}, "",
       "added to the root of that mean"},
      {"optimizer.weight_decay", Real{optimizer<&OptimizerConfig::weight_decay>, 0, 10}, "",
       "times the learning rate; matrices only"},
      {"optimizer.clip_norm", Real{optimizer<&OptimizerConfig::clip_norm>, 0, 1e9}, "",
       "largest global gradient norm; 0 = no clipping"},

      {"optimizer.schedule.kind",
       choice<&Config::optimizer, &OptimizerConfig::schedule, &ScheduleConfig::kind>(kSchedules), "",
       "how the learning rate falls after the warm-up"},
      {"optimizer.schedule.warmup_steps",
       Integer{schedule<&ScheduleConfig::warmup_steps>, 0, kMostSteps, true}, "steps", "linear rise from 0"},
      {"optimizer.schedule.final_fraction", Real{schedule<&ScheduleConfig::final_fraction>, 0, 1}, "",
       "of the peak rate, reached at the last step (not constant)"},
      {"optimizer.schedule.decay_steps", Integer{schedule<&ScheduleConfig::decay_steps>, 0, kMostSteps, true},
       "steps", "fall at the end (wsd); 0 = a fifth of train.steps"},

      {"parallel.expert", Integer{parallel<&ParallelConfig::expert>, 1, 65'536}, "ranks",
       "over which experts are split; divides experts and the ranks", manner},
      {"parallel.exchange_rows", Integer{parallel<&ParallelConfig::exchange_rows>, 0, 1LL << 40, true},
       "rows", "a rank receives at once from the others; 0 = no bound", manner},

      {"checkpoint.every", Integer{checkpoint<&CheckpointConfig::every>, 0, kMostSteps, true}, "steps",
       "between checkpoints; 0 = at the end and on signals only", manner},
      {"checkpoint.failure_interval", Duration{checkpoint<&CheckpointConfig::failure_interval_seconds>}, "",
       "mean time between failures; with a save's cost the interval; 0 = off", manner},
      {"checkpoint.keep", Integer{checkpoint<&CheckpointConfig::keep>, 1, 1'000'000}, "checkpoints",
       "newest ones that stay on disk", manner},
      {"checkpoint.keep_every", Integer{checkpoint<&CheckpointConfig::keep_every>, 0, kMostSteps, true},
       "steps", "checkpoints of these steps are never deleted; 0 = none", manner},
      {"checkpoint.background", Boolean{checkpoint<&CheckpointConfig::background>}, "",
       "write while training goes on", manner},

      {"metrics.per_expert", Boolean{&field<&Config::metrics, &MetricsConfig::per_expert>}, "",
       "token counts of every expert in metrics.jsonl", manner},
  };
  return table;
}

}  // namespace switchyard::app
