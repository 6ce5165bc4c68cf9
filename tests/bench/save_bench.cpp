// What saving costs a training run: how long a save in the background holds up the step (a copy of the rank's
// state, at how many bytes a second), and the share of time that saves take at a given interval: what the
// steps from a save's start to its commit take above the quiet ones around them.
//   save_bench [--width N] [--layers N] [--saves N] [--quiet N] [--every N] [--folder DIR]
// --quiet: steps between a commit and the next save; --every: the interval that the share is told for.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <numeric>
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
  std::int64_t width = 256, layers = 4, saves = 20, quiet = 8, every = 50;
  std::filesystem::path folder = std::filesystem::temp_directory_path() / "switchyard-save-bench";
};

Options parse(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::int64_t*> numbers = {{"--width", &options.width},
                                                        {"--layers", &options.layers},
                                                        {"--saves", &options.saves},
                                                        {"--quiet", &options.quiet},
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
  for (const auto& [name, value] : numbers)
    if (*value < 1) throw UserError(fmt::format("save_bench: {} must be at least 1; got {}", name, *value));
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

/// Seconds of one save and of the steps around it.
struct Save {
  double start = 0;           ///< the step is held up by the copy
  double commit = 0;          ///< and by the commit
  std::vector<double> steps;  ///< from the one after which it starts to its commit, with both
  std::vector<double> quiet;  ///< steps after it
};

/// A save that is committed as soon as it is written, as the trainer does it, and `quiet` steps.
Save save_once(Run& run, app::Checkpointer& saver, std::int64_t& step, std::int64_t quiet) {
  Save save;
  const auto timed_step = [&](std::vector<double>& seconds, auto&& then) {
    const auto begin = Clock::now();
    run.step();
    ++step;
    const auto after = Clock::now();
    then(after);
    seconds.push_back(kernels::seconds_since(begin));
  };
  timed_step(save.steps, [&](Clock::time_point begin) {
    saver.start(run.context(), step, run.state(), {}, {}, "");
    save.start = kernels::seconds_since(begin);
  });
  while (saver.is_pending())
    timed_step(save.steps, [&](Clock::time_point begin) {
      if (saver.is_busy()) return;
      if (!saver.finish()) throw DiskError("save_bench: " + saver.last_failure());
      save.commit = kernels::seconds_since(begin);
    });
  for (std::int64_t i = 0; i < quiet; ++i) timed_step(save.quiet, [](Clock::time_point) {});
  return save;
}

/// What a save adds to its steps, measured against quiet ones before and after it.
double seconds_added(const Save& before, const Save& save) {
  std::vector<double> quiet = before.quiet;
  quiet.insert(quiet.end(), save.quiet.begin(), save.quiet.end());
  const double all = std::accumulate(save.steps.begin(), save.steps.end(), 0.0);
  return all - static_cast<double>(save.steps.size()) * median(quiet);
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
  std::vector<double> starts, commits, copies, added, steps;
  Save before = save_once(run, checkpointer, step, options.quiet);  // warm-up
  for (std::int64_t i = 0; i < options.saves; ++i) {
    Save save = save_once(run, checkpointer, step, options.quiet);
    starts.push_back(save.start);
    commits.push_back(save.commit);
    copies.push_back(copy_seconds(state, memory));
    added.push_back(seconds_added(before, save));
    steps.push_back(median(save.quiet));
    fmt::print("save {} of {}: {:+.0f} ms over {} steps of {:.0f} ms\n", i + 1, options.saves,
               1e3 * added.back(), save.steps.size(), 1e3 * steps.back());
    before = std::move(save);
  }
  std::filesystem::remove_all(options.folder);
  fmt::print(
      "state {:.1f} MB; a save holds the step up for {:.2f} ms ({:.2f} GB/s), its commit for {:.2f} ms; one "
      "plain copy takes {:.2f} ms ({:.2f} GB/s)\n",
      bytes / 1e6, 1e3 * median(starts), bytes / median(starts) / 1e9, 1e3 * median(commits),
      1e3 * median(copies), bytes / median(copies) / 1e9);
  const double interval = static_cast<double>(options.every) * median(steps);
  std::ranges::sort(added);
  const auto quarter = added.size() / 4;
  fmt::print(
      "one save per {} steps costs {:.2f} % of time (median of {} saves; quartiles {:.2f} and {:.2f} %)\n",
      options.every, 100 * median(added) / interval, options.saves, 100 * added[quarter] / interval,
      100 * added[added.size() - 1 - quarter] / interval);
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
