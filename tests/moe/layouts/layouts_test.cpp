// The promise of the whole program on a tiny model: a step is a pure function of (config, seed, step), so
// every layout of ranks and expert axis gives the same bits. Threads stand for ranks.
#include <algorithm>
#include <cmath>
#include <mutex>

#include "moe/model/step_totals.h"
#include "moe/optim/optimizer.h"
#include "tests/moe/support/tiny_model.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

struct Layout {
  int ranks = 1;
  int axis = 1;
};

// What is trained, apart from the layout.
struct Training {
  moe::ModelConfig config = {};
  std::int64_t B = 2, T = 6, units = 12;
  int steps = 3;
  std::int64_t exchange_rows = 0;
  moe::Recompute recompute = moe::Recompute::none;
  /// Put into the selection biases before the first step; empty = random ones.
  std::vector<double> biases = {};
};

// All that a run leaves behind, by its bits.
struct Outcome {
  std::vector<double> losses, auxiliary, norms;
  std::vector<std::vector<std::int64_t>> loads;
  NamedValues<float> state;
  std::vector<std::int64_t> activation_bytes;  // each rank's peak
};

moe::ModelConfig layout_config() {
  moe::ModelConfig config = moe_config();
  config.width = 24;  // tensors of more than one run of the norm
  config.qk_norm = moe::QkNorm::per_head;
  config.moe.experts = 12;
  config.moe.expert_width = {16};
  config.moe.shared_experts = 1;
  config.moe.bias_balancing = true;
  config.moe.bias_update_rate = 0.05;
  config.moe.aux_loss = 0.05;
  config.moe.z_loss = 0.01;
  return config;
}

moe::OptimizerConfig layout_optimizer() {
  moe::OptimizerConfig config;
  config.learning_rate = 0.01;
  config.clip_norm = 0.5;
  return config;
}

void prepare(const Training& run, moe::Model& model) {
  set_random_weights(model, 2);
  for (const TensorView& bias : model.balancing_biases())
    for (std::size_t e = 0; e < run.biases.size(); ++e)
      bias.data<float>()[e] = static_cast<float>(run.biases[e]);
}

// One step on one rank: unit u belongs to rank u % ranks; a rank without one brings an empty unit.
moe::StepSummary train_step(const Training& run, kernels::Context& context, moe::Model& model,
                            parallel::Communicator& world, int step) {
  model.clear_gradients();
  moe::StepTotals totals(model.moe_layers(), run.config.moe.experts);
  for (std::int64_t first = 0; first < run.units; first += world.size()) {
    const std::int64_t u = first + world.rank();
    const bool has_unit = u < run.units;
    const UnitTensors unit(
        random_unit(run.config, has_unit ? run.B : 0, run.T, static_cast<std::uint64_t>(1000 * step + u)));
    const bool last = first + world.size() >= run.units;
    const moe::UnitResult result = model.train_unit(context, unit.input(), run.recompute, last);
    if (has_unit) totals.add(result);
  }
  return totals.reduce(world);
}

void record(const std::vector<moe::StateSlice>& slices, NamedValues<float>& state) {
  for (const moe::StateSlice& slice : slices) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : slice.shape) elements *= extent;
    auto& values = state[slice.name];
    values.resize(static_cast<std::size_t>(elements));
    const auto* data = static_cast<const float*>(slice.data);
    std::copy(data, data + (slice.end - slice.begin), values.begin() + slice.begin);
  }
}

// What a rank computes with must be what the owners hold, rounded where it computes in bf16.
void expect_current(const std::vector<moe::StateSlice>& slices, const NamedValues<float>& state) {
  for (const moe::StateSlice& slice : slices) {
    const auto begin = state.at(slice.name).begin();
    const std::vector<float> values(begin + slice.begin, begin + slice.end);
    if (slice.dtype == DType::bf16) {
      const auto* data = static_cast<const BFloat16*>(slice.data);
      EXPECT_TRUE(std::equal(values.begin(), values.end(), data, [](float a, BFloat16 b) {
        return BFloat16(a).bits == b.bits;
      })) << slice.name;
    } else {
      EXPECT_TRUE(std::equal(values.begin(), values.end(), static_cast<const float*>(slice.data)))
          << slice.name;
    }
  }
}

Outcome train(const Training& run, Layout layout, kernels::Isa isa = kernels::chosen_isa(), int threads = 1) {
  Outcome outcome;
  outcome.activation_bytes.resize(static_cast<std::size_t>(layout.ranks));
  std::mutex lock;
  parallel::run_local(layout.ranks, [&](parallel::Communicator& world) {
    kernels::Context context(threads, isa);
    parallel::Mesh mesh(world, layout.axis, run.config.moe.experts);
    moe::ModelLimits limits = tiny_limits(run.B, run.T, run.units);
    limits.exchange_rows = run.exchange_rows;
    moe::Model model(context, run.config, mesh, limits, 2);
    prepare(run, model);
    moe::Optimizer optimizer(model, mesh, layout_optimizer(), run.units);
    for (int step = 0; step < run.steps; ++step) {
      const moe::StepSummary summary = train_step(run, context, model, world, step);
      const moe::UpdateReport report = optimizer.step(context, 0.01, summary.finite);
      std::vector<std::vector<std::int64_t>> loads;
      for (const moe::LayerSummary& layer : summary.layers) loads.push_back(layer.load);
      optimizer.balance(loads);
      EXPECT_TRUE(report.applied);
      if (world.rank() != 0) continue;
      outcome.losses.push_back(summary.loss);
      outcome.auxiliary.push_back(summary.auxiliary_loss());
      outcome.norms.push_back(report.gradient_norm);
      outcome.loads.insert(outcome.loads.end(), loads.begin(), loads.end());
    }
    {
      const std::scoped_lock held(lock);
      record(optimizer.owned_state(), outcome.state);
      outcome.activation_bytes[static_cast<std::size_t>(world.rank())] =
          static_cast<std::int64_t>(model.activation_bytes());
    }
    world.barrier();
    const std::scoped_lock held(lock);
    expect_current(optimizer.resting_state(), outcome.state);
  });
  return outcome;
}

void expect_same(const Outcome& actual, const Outcome& expected) {
  EXPECT_EQ(actual.losses, expected.losses);
  EXPECT_EQ(actual.auxiliary, expected.auxiliary);
  EXPECT_EQ(actual.norms, expected.norms);
  EXPECT_EQ(actual.loads, expected.loads);
  ASSERT_EQ(actual.state.size(), expected.state.size());
  for (const auto& [name, values] : expected.state) EXPECT_EQ(actual.state.at(name), values) << name;
}

std::string text(Layout layout) {
  return std::to_string(layout.ranks) + " ranks, expert axis " + std::to_string(layout.axis);
}

class LayoutTest : public testing::TestWithParam<Layout> {};

TEST_P(LayoutTest, HasTheBitsOfOneRank) {
  const Training run{.config = layout_config()};
  static const Outcome expected = train(run, {1, 1});
  expect_same(train(run, GetParam()), expected);
}

TEST_P(LayoutTest, HasTheBitsOfOneRankWithDropsAndRecomputation) {
  Training run{.config = layout_config(), .steps = 2};
  run.config.moe.capacity_factor = 1.0;
  static const Outcome expected = train(run, {1, 1});
  run.recompute = moe::Recompute::block;
  expect_same(train(run, GetParam()), expected);
}

TEST_P(LayoutTest, HasTheBitsOfOneRankInBf16) {
  Training run{.config = layout_config(), .steps = 2};
  run.config.activation = DType::bf16;
  run.config.moe.shared_expert_gate = true;
  static const Outcome expected = train(run, {1, 1});
  run.exchange_rows = 256;
  run.recompute = moe::Recompute::block;
  expect_same(train(run, GetParam()), expected);
}

std::string layout_name(const testing::TestParamInfo<Layout>& info) {
  return "ranks" + std::to_string(info.param.ranks) + "_axis" + std::to_string(info.param.axis);
}
INSTANTIATE_TEST_SUITE_P(Ranks, LayoutTest,
                         testing::Values(Layout{2, 1}, Layout{2, 2}, Layout{3, 3}, Layout{4, 2}, Layout{6, 3},
                                         Layout{8, 4}),
                         layout_name);

TEST(Layouts, TheRunsAreWorthComparing) {
  Training training{.config = layout_config()};
  const Outcome outcome = train(training, {1, 1});
  training.steps = 1;
  const Outcome one_step = train(training, {1, 1});
  for (const moe::ParameterSpec& spec : moe::parameter_specs(training.config))
    EXPECT_NE(outcome.state.at(spec.name), one_step.state.at(spec.name)) << spec.name << " learns nothing";
  for (const double norm : outcome.norms) EXPECT_GT(norm, layout_optimizer().clip_norm);
  const auto [least, most] = std::minmax_element(outcome.loads[0].begin(), outcome.loads[0].end());
  EXPECT_GT(*most, 3 * *least) << "routing is too even to show a mistake";
}

TEST(Layouts, Bf16HasTheSameBitsOnEveryLevelWithAnyThreads) {
  Training run{.config = layout_config(), .steps = 2};
  run.config.activation = DType::bf16;
  for (const kernels::Isa isa : kernels::available_isas()) {
    SCOPED_TRACE(kernels::isa_name(isa));
    const Outcome expected = train(run, {1, 1}, isa);
    expect_same(train(run, {1, 1}, isa, 2), expected);
    expect_same(train(run, {4, 2}, isa), expected);
    expect_same(train(run, {3, 3}, isa, 2), expected);
  }
}

TEST(Layouts, TheNormDoesNotDependOnTheExpertAxis) {
  const Training run{.config = layout_config(), .steps = 1};
  const double norm = train(run, {4, 1}).norms[0];
  EXPECT_EQ(train(run, {4, 2}).norms[0], norm);
  EXPECT_EQ(train(run, {4, 4}).norms[0], norm);
}

// Every token to the first two experts, with the rest idle.
Training overload() {
  Training run{.config = layout_config(), .B = 3, .T = 100, .units = 4, .steps = 2};
  run.biases.assign(12, 0.0);
  run.biases[0] = run.biases[1] = 100;
  return run;
}

TEST(Layouts, AnOverloadedExpertIsWorkedOffInRounds) {
  Training run = overload();
  const Outcome expected = train(run, {1, 1});
  for (const auto& load : expected.loads) ASSERT_EQ(load[0], run.units * run.B * run.T);
  // With 4 positions the first one receives 4 * 300 rows for each of its two busy experts.
  const std::int64_t need = 2 * run.units * run.B * run.T;
  for (const std::int64_t rows : {need / 4, std::int64_t{256}}) {
    run.exchange_rows = rows;
    for (const Layout layout : {Layout{1, 1}, Layout{2, 2}, Layout{4, 4}}) {
      SCOPED_TRACE(text(layout) + ", " + std::to_string(rows) + " rows at a time");
      expect_same(train(run, layout), expected);
    }
  }
}

// The busy rank may have, above an idle one, the rows of one round in all the tensors that the experts'
// backward pass holds at once: x, dy and dx (C), gate_up and its gradient (2F), hidden and its gradient (F).
TEST(Layouts, AnOverloadTakesNoMoreMemoryThanItsBound) {
  Training run = overload();
  const std::int64_t C = run.config.width, F = run.config.moe.expert_width[0];
  const std::int64_t need = 2 * run.units * run.B * run.T;
  constexpr std::int64_t kAlignment = 12 * 64;  // of each of those tensors
  const auto above_idle = [&](std::int64_t rows) {
    run.exchange_rows = rows;
    const Outcome outcome = train(run, {4, 4});
    return outcome.activation_bytes.front() - outcome.activation_bytes.back();
  };
  EXPECT_LE(above_idle(need / 4), need / 4 * (3 * C + 6 * F) * 4 + kAlignment);
  EXPECT_GT(above_idle(0), 2 * (need / 4 * (3 * C + 6 * F) * 4)) << "without a bound it does take more";
}

TEST(Layouts, AnExpertWithoutATokenMayStandAnywhere) {
  for (std::size_t idle = 0; idle < 12; ++idle) {
    Training run{.config = layout_config(), .B = 1, .units = 6, .steps = 1};
    run.biases.assign(12, 0.0);
    run.biases[idle] = -100;
    const Outcome expected = train(run, {1, 1});
    for (const auto& load : expected.loads) ASSERT_EQ(load[idle], 0);
    for (const Layout layout : {Layout{3, 3}, Layout{4, 4}}) {
      SCOPED_TRACE(text(layout) + ", expert " + std::to_string(idle));
      expect_same(train(run, layout), expected);
    }
  }
}

}  // namespace
}  // namespace switchyard::test
