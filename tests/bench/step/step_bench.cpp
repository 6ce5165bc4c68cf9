// A whole training step without files: where its time goes, and what its exchanges cost beside plain waiting.
//   mpirun -n 2 step_bench [model=small|fine|dense] [expert=N] [threads=N] [steps=N] [overlap=0|1]
// Rank 0 prints one line of JSON. Weights stay as they were initialised (learning rate 0), so every step does
// the same work; routing is what an untrained router does. scripts/bench_step pairs runs of it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

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
  bool overlap = true;
};

struct Workload {
  moe::ModelConfig model;
  std::int64_t T = 512, micro_batch = 4, units = 2;
};

Workload workload(const std::string& name) {
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
  if (name == "dense") {
    model.moe.experts = 0;
    model.mlp_width = 1536;
  } else if (name == "fine") {
    model.layers = 8;
    model.width = 512;
    model.heads = 8;
    model.moe.experts = 32;
    model.moe.top_k = 4;
    model.moe.expert_width = {256};
    work.T = 1024;
    work.micro_batch = 2;
  } else if (name != "small") {
    throw std::invalid_argument("model is small, fine or dense; got " + name);
  }
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

class Bench {
 public:
  Bench(parallel::Communicator& world, const Settings& settings)
      : world_(world),
        settings_(settings),
        work_(workload(settings.model)),
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
    report(median(seconds));
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
    for (const kernels::OpCost& cost : context_.trace().costs()) {
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
        "{{\"model\":\"{}\",\"ranks\":{},\"expert\":{},\"threads\":{},\"overlap\":{},\"step_seconds\":{:.4f},"
        "\"tokens_per_second\":{:.1f},\"exchange_and_waiting\":{:.4f},\"exchange\":{:.4f},\"sums\":{:.4f},"
        "\"gflops_of_rank_0\":{:.1f}}}\n",
        settings_.model, world_.size(), settings_.expert, settings_.threads, settings_.overlap ? 1 : 0, step,
        tokens / step, exchange.inside / step, exchange.exchange / step, ops["reduce_gradient_sums"] / step,
        flops / step * 1e-9);
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
