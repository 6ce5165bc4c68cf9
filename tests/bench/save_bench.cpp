// What saving costs a training run: how long a save in the background holds up the step (a copy of the rank's
// state, at how many bytes a second), and the share of time that saves take at a given interval: one run in
// which stretches of so many steps without a save and with one take turns, compared pair by pair.
//   save_bench [--width N] [--layers N] [--pairs N] [--every N] [--folder DIR]
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "app/config/config.h"
#include "app/train/checkpointer.h"
#include "data/io/real_io.h"
#include "kernels/runtime/clock.h"
#include "moe/model/model.h"
#include "moe/model/step_totals.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/local.h"
#include "parallel/mesh/mesh.h"

namespace {

using namespace switchyard;
using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Options {
  std::int64_t width = 256, layers = 4, pairs = 10, every = 50;
  std::filesystem::path folder = std::filesystem::temp_directory_path() / "switchyard-save-bench";
};

Options parse(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::int64_t*> numbers = {{"--width", &options.width},
                                                        {"--layers", &options.layers},
                                                        {"--pairs", &options.pairs},
                                                        {"--every", &options.every}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto found = numbers.find(argv[i]);
    if (found != numbers.end())
      *found->second = std::stoll(argv[i + 1]);
    else if (std::string(argv[i]) == "--folder")
      options.folder = argv[i + 1];
    else
      throw UserError(fmt::format("save_bench: unknown option {}", argv[i]));
  }
  return options;
}

/// A model that trains on made-up tokens, with what a trainer saves.
class Run {
 public:
  Run(const Options& options, parallel::Communicator& world)
      : config_(config(options)),
        context_(2),
        mesh_(world, 1, config_.model.moe.experts),
        model_(context_, config_.model, mesh_, {1, kB * kT, kT, 0}, 1),
        optimizer_(model_, mesh_, config_.optimizer, 1),
        tokens_(static_cast<std::size_t>(kB * kT)) {
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      tokens_[i] = static_cast<std::int32_t>(i * 7919 % static_cast<std::size_t>(config_.model.vocab_size));
  }
  static app::Config config(const Options& options) {
    app::Config config = app::default_config();
    config.model.vocab_size = 4096;
    config.model.layers = options.layers;
    config.model.width = options.width;
    config.model.heads = config.model.kv_heads = options.width / 32;
    config.model.max_sequence_length = kT;
    config.model.moe.experts = 8;
    config.model.moe.expert_width = {2 * options.width};
    config.checkpoint.keep = 1;
    return config;
  }
  void step() {
    model_.clear_gradients();
    const ConstTensorView tokens(tokens_.data(), DType::i32, {kB, kT});
    model_.train_unit(context_, {tokens, tokens}, moe::Recompute::none, true);
    optimizer_.step(context_, 1e-4, true);
  }
  kernels::Context& context() { return context_; }
  std::vector<moe::StateSlice> state() { return optimizer_.owned_state(); }
  const app::Config& config() const { return config_; }

 private:
  static constexpr std::int64_t kB = 16, kT = 256;  // tokens of a step, as in the quickstart
  app::Config config_;
  kernels::Context context_;
  parallel::Mesh mesh_;
  moe::Model model_;
  moe::Optimizer optimizer_;
  std::vector<std::int32_t> tokens_;
};

std::int64_t bytes_of(const std::vector<moe::StateSlice>& slices) {
  std::int64_t bytes = 0;
  for (const auto& slice : slices)
    bytes += (slice.end - slice.begin) * static_cast<std::int64_t>(dtype_size(slice.dtype));
  return bytes;
}

/// Seconds of a plain copy of as many bytes into memory that is there: what the snapshot is measured against.
double copy_seconds(const std::vector<moe::StateSlice>& slices, std::vector<char>& memory) {
  memory.resize(static_cast<std::size_t>(bytes_of(slices)), 1);
  const auto start = Clock::now();
  std::size_t at = 0;
  for (const auto& slice : slices) {
    const auto bytes = static_cast<std::size_t>(slice.end - slice.begin) * dtype_size(slice.dtype);
    if (bytes > 0) std::memcpy(memory.data() + at, slice.data, bytes);
    at += bytes;
  }
  return kernels::seconds_since(start);
}

/// What saves cost: seconds of each.
struct Blocked {
  std::vector<double> start, finish;
};

/// Seconds of `steps` steps; with `saver`, one save is started after the first of them and committed as soon
/// as it is written, as the trainer does it.
double stretch(Run& run, std::int64_t steps, std::int64_t& step, app::Checkpointer* saver, Blocked& blocked) {
  const auto begin = Clock::now();
  for (std::int64_t i = 0; i < steps; ++i) {
    run.step();
    ++step;
    if (saver == nullptr) continue;
    const auto start = Clock::now();
    if (i == 0) {
      saver->start(run.context(), step, run.state(), {}, {}, "");
      blocked.start.push_back(kernels::seconds_since(start));
    } else if (saver->is_pending() && (!saver->is_busy() || i + 1 == steps)) {
      saver->finish();
      blocked.finish.push_back(kernels::seconds_since(start));
    }
  }
  return kernels::seconds_since(begin);
}

int bench(const Options& options) {
  std::filesystem::create_directories(options.folder);
  const auto world = parallel::single_rank();
  Run run(options, *world);
  std::int64_t step = 0;
  const std::vector<moe::StateSlice> state = run.state();
  const auto bytes = static_cast<double>(bytes_of(state));
  data::RealIo io;
  app::Checkpointer checkpointer(*world, io, options.folder, "bench", run.config().checkpoint);
  checkpointer.reserve(state);
  std::vector<char> memory;
  std::vector<double> copies, overheads;
  Blocked blocked;
  stretch(run, options.every, step, &checkpointer, blocked);  // warm-up
  blocked = {};
  for (std::int64_t pair = 0; pair < options.pairs; ++pair) {
    // By turns without and with first, so that a machine that grows slower favours neither.
    double off = 0, on = 0;
    if (pair % 2 == 0) off = stretch(run, options.every, step, nullptr, blocked);
    on = stretch(run, options.every, step, &checkpointer, blocked);
    if (pair % 2 == 1) off = stretch(run, options.every, step, nullptr, blocked);
    copies.push_back(copy_seconds(state, memory));
    overheads.push_back(on / off - 1);
    fmt::print("pair {}: {} steps in {:.3f} s without and {:.3f} s with a save: {:+.2f} %\n", pair + 1,
               options.every, off, on, 100 * overheads.back());
  }
  std::filesystem::remove_all(options.folder);
  fmt::print(
      "state {:.1f} MB; a save holds the step up for {:.2f} ms ({:.2f} GB/s), its commit for {:.2f} ms; one "
      "plain "
      "copy takes {:.2f} ms ({:.2f} GB/s)\n",
      bytes / 1e6, 1e3 * median(blocked.start), bytes / median(blocked.start) / 1e9,
      1e3 * median(blocked.finish), 1e3 * median(copies), bytes / median(copies) / 1e9);
  fmt::print("one save per {} steps costs {:.2f} % of time (median of {} pairs)\n", options.every,
             100 * median(overheads), options.pairs);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return bench(parse(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
