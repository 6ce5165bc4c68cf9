// A whole training step without files: where its time goes, and what its exchanges cost beside plain waiting.
//   mpirun -n 2 step_bench [model=small|fine|dense|fine_dense] [precision=fp32|bf16] [expert=N] [threads=N]
//     [steps=N] [overlap=0|1] [T=N] [batch=N] [micro=N] [ops=0|1]
// T tokens a sequence, batch sequences a step, micro of them at once; ops=1 adds the time of every op, and
// the peaks of this machine. Rank 0 prints one line of JSON. Weights stay as they were initialised (learning
// rate 0), so every step does the same work; routing is what an untrained router does. scripts/bench_step
// pairs runs of it, scripts/bench_cpu sets it against another trainer.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "kernels/runtime/peak.h"
#include "kernels/runtime/random.h"
#include "moe/model/step_totals.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/mpi.h"
#include "tests/bench/step/collective_times.h"

namespace switchyard::bench {

namespace {

struct Settings {
  std::string model = "small";
  int expert = 1, threads = 1, steps = 5;
  bool overlap = true, ops = false;
  std::string precision = "fp32";
  std::int64_t T = 0, batch = 0, micro = 0;  // 0: what the model has
};

struct Workload {
  moe::ModelConfig model;
  std::int64_t T = 512, micro_batch = 4, units = 2;
};

// The dense models have the multiply-adds that a token of their MoE twin meets.
Workload workload(const Settings& settings) {
  const std::string& name = settings.model;
  Workload work;
  moe::ModelConfig& model = work.model;
  model.vocab_size = 8192;
  model.layers = 6;
  model.width = 384;
  model.heads = 6;
  model.kv_heads = 2;
  model.moe.experts = 8;
  model.moe.top_k = 2;
  model.moe.expert_width = {768};
  model.moe.aux_loss = 0.01;
  if (name == "fine" || name == "fine_dense") {
    model.layers = 8;
    model.width = 512;
    model.heads = 8;
    model.kv_heads = 4;
    model.moe.experts = 32;
    model.moe.top_k = 4;
    model.moe.expert_width = {256};
    work.T = 1024;
    work.micro_batch = 2;
  } else if (name != "small" && name != "dense") {
    throw std::invalid_argument("model is small, fine, dense or fine_dense; got " + name);
  }
  if (name == "dense" || name == "fine_dense") {
    model.mlp_width = model.moe.top_k * model.moe.expert_width.front();
    model.moe.experts = 0;
  }
  if (settings.precision == "bf16") {
    model.activation = DType::bf16;
  } else if (settings.precision != "fp32") {
    throw std::invalid_argument("precision is fp32 or bf16; got " + settings.precision);
  }
  const std::int64_t batch = settings.batch > 0 ? settings.batch : work.units * work.micro_batch;
  if (settings.T > 0) work.T = settings.T;
  if (settings.micro > 0) work.micro_batch = settings.micro;
  if (batch % work.micro_batch != 0)
    throw std::invalid_argument(fmt::format("micro divides batch; got {} and {}", work.micro_batch, batch));
  work.units = batch / work.micro_batch;
  return work;
}

Settings settings_from(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string key(argument.substr(0, equals));
    const std::string value(equals == std::string_view::npos ? "" : argument.substr(equals + 1));
    if (key == "model") {
      settings.model = value;
    } else if (key == "expert") {
      settings.expert = std::stoi(value);
    } else if (key == "threads") {
      settings.threads = std::stoi(value);
    } else if (key == "steps") {
      settings.steps = std::stoi(value);
    } else if (key == "overlap") {
      settings.overlap = value == "1";
    } else if (key == "ops") {
      settings.ops = value == "1";
    } else if (key == "precision") {
      settings.precision = value;
    } else if (key == "T") {
      settings.T = std::stoll(value);
    } else if (key == "batch") {
      settings.batch = std::stoll(value);
    } else if (key == "micro") {
      settings.micro = std::stoll(value);
    } else {
      throw std::invalid_argument("no setting called " + key);
    }
  }
  return settings;
}

// Tokens as skewed as those of text: token v about as likely as 1 / (v + 1).
std::vector<std::int32_t> tokens_of(std::int64_t unit, std::int64_t count, std::int64_t vocabulary) {
  const kernels::RandomStream stream(1, "step bench");
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i) {
    const double u = stream.uniform(static_cast<std::uint64_t>(unit), static_cast<std::uint64_t>(i));
    tokens.push_back(static_cast<std::int32_t>(std::pow(static_cast<double>(vocabulary), u)) - 1);
  }
  return tokens;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

std::int64_t peak_rss_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// Bytes per second, read and written, of all threads that add to numbers in memory far larger than the
// caches, as an optimizer does: the best of a few passes.
double memory_bandwidth(kernels::Context& context) {
  constexpr std::int64_t kElements = std::int64_t{32} << 20;
  constexpr std::int64_t kGrain = 65536;
  const kernels::Tensor memory(DType::i64, {kElements});
  auto* data = memory.data<std::int64_t>();
  double best = 0;
  for (int pass = 0; pass < 6; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    context.threads().run(kElements, kGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) data[i] += i;
    });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, 2.0 * static_cast<double>(memory.view().bytes()) / elapsed.count());
  }
  return best;
}

class Bench {
 public:
  Bench(parallel::Communicator& world, const Settings& settings)
      : world_(world),
        settings_(settings),
        work_(workload(settings)),
        context_(settings.threads),
        mesh_(observed(world, times_), settings.expert, work_.model.moe.experts),
        model_(context_, work_.model, mesh_, {work_.units, work_.micro_batch * work_.T, work_.T, 0}, 1),
        optimizer_(model_, mesh_, {}, work_.units) {
    for (std::int64_t unit = 0; unit < work_.units; ++unit)
      tokens_.push_back(tokens_of(unit, work_.micro_batch * work_.T, work_.model.vocab_size));
  }

  void run() {
    for (int step = 0; step < 2; ++step) train_step();
    context_.trace().reset();
    times_.clear();
    std::vector<double> seconds;
    for (int step = 0; step < settings_.steps; ++step) {
      world_.barrier();
      const auto start = std::chrono::steady_clock::now();
      train_step();
      seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    report(settings_.ops ? mean(seconds) : median(seconds));
  }

 private:
  void train_step() {
    model_.clear_gradients();
    moe::StepTotals totals(model_.moe_layers(), work_.model.moe.experts);
    for (std::int64_t first = 0; first < work_.units; first += world_.size()) {
      const std::int64_t unit = first + world_.rank();
      const std::int64_t B = unit < work_.units ? work_.micro_batch : 0;
      const std::int32_t* data = tokens_[static_cast<std::size_t>(std::min(unit, work_.units - 1))].data();
      const ConstTensorView tokens(data, DType::i32, {B, work_.T});
      const bool last = settings_.overlap && first + world_.size() >= work_.units;
      const moe::UnitResult result =
          model_.train_unit(context_, {tokens, tokens}, moe::Recompute::none, last);
      if (B > 0) totals.add(result);
    }
    const moe::StepSummary summary = totals.reduce(world_);
    if (!optimizer_.step(context_, 0.0, summary.finite).applied)
      throw std::runtime_error("a step was skipped");
  }

  // Communicators that the mesh splits off inherit the observer.
  static parallel::Communicator& observed(parallel::Communicator& world, CollectiveTimes& times) {
    world.set_observer(&times);
    return world;
  }

  void report(double step) {
    const auto totals = times_.totals(world_);
    const double steps = settings_.steps;
    std::map<std::string_view, double> ops;
    double flops = 0;
    const std::vector<kernels::OpCost> costs = context_.trace().costs();
    for (const kernels::OpCost& cost : costs) {
      ops[cost.name] += cost.seconds / steps;
      flops += cost.flops / steps;
    }
    if (world_.rank() != 0) return;
    CollectiveTime exchange;  // of rows, and of the counts before them
    for (const auto kind : {parallel::Collective::all_to_all_v, parallel::Collective::all_gather}) {
      exchange.inside += totals[static_cast<std::size_t>(kind)].inside / steps;
      exchange.exchange += totals[static_cast<std::size_t>(kind)].exchange / steps;
    }
    const auto tokens = static_cast<double>(work_.units * work_.micro_batch * work_.T);
    fmt::print(
        "{{\"model\":\"{}\",\"precision\":\"{}\",\"ranks\":{},\"expert\":{},\"threads\":{},\"overlap\":{},"
        "\"step_seconds\":{:.4f},"
        "\"tokens_per_second\":{:.1f},\"exchange_and_waiting\":{:.4f},\"exchange\":{:.4f},\"sums\":{:.4f},"
        "\"gflops_of_rank_0\":{:.1f},\"peak_rss_mib\":{}{}}}\n",
        settings_.model, settings_.precision, world_.size(), settings_.expert, settings_.threads,
        settings_.overlap ? 1 : 0, step, tokens / step, exchange.inside / step, exchange.exchange / step,
        ops["reduce_gradient_sums"] / step, flops / step * 1e-9, peak_rss_mib(),
        settings_.ops ? ops_text(costs, step) : "");
  }

  // The time of each op of rank 0 in a step of `step` seconds, and what this machine can do at most.
  std::string ops_text(const std::vector<kernels::OpCost>& costs, double step) {
    std::string text = fmt::format(
        ",\"level\":\"{}\",\"unit_gflops\":{:.1f},\"fp32_gflops\":{:.1f},\"memory_gbytes\":{:.1f},\"ops\":[",
        kernels::isa_name(context_.isa()),
        kernels::measured_peak_flops(context_, work_.model.activation) * 1e-9,
        kernels::measured_peak_flops(context_) * 1e-9, memory_bandwidth(context_) * 1e-9);
    const double steps = settings_.steps;
    double elsewhere = step;
    for (const kernels::OpCost& cost : costs) {
      text +=
          fmt::format("{{\"op\":\"{}\",\"calls\":{},\"seconds\":{:.6f},\"flops\":{:.0f},\"bytes\":{:.0f}}},",
                      cost.name, static_cast<double>(cost.calls) / steps, cost.seconds / steps,
                      cost.flops / steps, cost.bytes / steps);
      elsewhere -= cost.seconds / steps;
    }
    return text +
           fmt::format("{{\"op\":\"elsewhere\",\"calls\":1,\"seconds\":{:.6f},\"flops\":0,\"bytes\":0}}]",
                       elsewhere);
  }

  CollectiveTimes times_;
  parallel::Communicator& world_;
  Settings settings_;
  Workload work_;
  kernels::Context context_;
  parallel::Mesh mesh_;
  moe::Model model_;
  moe::Optimizer optimizer_;
  std::vector<std::vector<std::int32_t>> tokens_;
};

}  // namespace

}  // namespace switchyard::bench

int main(int argc, char** argv) {
  using switchyard::parallel::MpiWorld;
  switchyard::parallel::MpiOptions options;
  options.check_participation = false;
  return switchyard::parallel::run_ranks(
      options,
      [&](MpiWorld& world) {
        switchyard::bench::Bench(world.communicator(), switchyard::bench::settings_from(argc, argv)).run();
        return 0;
      },
      [](const std::exception&) { return 70; });
}
