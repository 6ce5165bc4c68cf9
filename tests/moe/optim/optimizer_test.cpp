#include "moe/optim/optimizer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <mutex>

#include "tests/moe/support/tiny_model.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using moe::Optimizer;
using moe::OptimizerConfig;
using moe::StateSlice;

constexpr std::int64_t kSequences = 2, kLength = 5;

// Elements of a state slice.
std::vector<float> values_of_slice(const StateSlice& slice) {
  const auto* data = static_cast<const float*>(slice.data);
  return {data, data + (slice.end - slice.begin)};
}

NamedValues<float> state_of(Optimizer& optimizer) {
  NamedValues<float> state;
  for (const StateSlice& slice : optimizer.needed_state()) {
    const std::vector<float> values = values_of_slice(slice);
    auto& all = state[slice.name];
    all.insert(all.end(), values.begin(), values.end());
  }
  return state;
}

bool decays(const std::string& name) {
  return name.find("norm") == std::string::npos && name.find("bias") == std::string::npos &&
         name != "embedding.weight";
}

// AdamW in double, from the paper's algorithm.
struct Oracle {
  NamedValues<double> weights, m, v;
  int updates = 0;

  void step(const OptimizerConfig& config, const NamedValues<double>& gradients, double scale, double rate) {
    ++updates;
    for (auto& [name, values] : weights) {
      m[name].resize(values.size());
      v[name].resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double g = gradients.at(name)[i] * scale;
        m[name][i] = config.beta1 * m[name][i] + (1 - config.beta1) * g;
        v[name][i] = config.beta2 * v[name][i] + (1 - config.beta2) * g * g;
        const double mean = m[name][i] / (1 - std::pow(config.beta1, updates));
        const double square = v[name][i] / (1 - std::pow(config.beta2, updates));
        const double decay = decays(name) ? config.weight_decay * values[i] : 0.0;
        values[i] -= rate * (mean / (std::sqrt(square) + config.epsilon) + decay);
      }
    }
  }
};

double norm_of(const NamedValues<double>& gradients) {
  double squares = 0;
  for (const auto& [name, values] : gradients)
    for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

OptimizerConfig tiny_optimizer() {
  OptimizerConfig config;
  config.epsilon = 1e-4;  // elements whose gradient is all rounding then hardly move
  config.clip_norm = 0;
  return config;
}

moe::ModelConfig optimizer_model() {
  moe::ModelConfig config = moe_config();
  config.attention_bias = true;
  config.qk_norm = moe::QkNorm::per_head;
  config.moe.bias_balancing = true;
  return config;
}

class OptimizerTest : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Activation, OptimizerTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& suite) { return std::string(dtype_name(suite.param)); });

// The f32 weights by name.
NamedValues<double> masters_of(Optimizer& optimizer) {
  NamedValues<double> masters;
  for (const auto& [name, values] : state_of(optimizer))
    if (!name.starts_with("optimizer.") && !name.ends_with("router.bias"))
      masters[name] = {values.begin(), values.end()};
  return masters;
}

TEST_P(OptimizerTest, StepsLikeAdamwOnTheMeanGradient) {
  moe::ModelConfig model = optimizer_model();
  model.activation = GetParam();
  TinyModel tiny(model, 1, tiny_limits(kSequences, kLength, 2));
  const OptimizerConfig config = tiny_optimizer();
  Optimizer optimizer(tiny.model, tiny.mesh, config, 2);
  Oracle oracle{masters_of(optimizer), {}, {}};
  ASSERT_EQ(oracle.weights.size(), moe::parameter_specs(model).size());
  for (std::uint64_t step = 0; step < 3; ++step) {
    tiny.model.clear_gradients();
    for (std::uint64_t u = 0; u < 2; ++u)
      tiny.model.train_unit(
          tiny.context,
          UnitTensors(random_unit(tiny.model.config(), kSequences, kLength, 2 * step + u)).input(),
          moe::Recompute::none);
    const NamedValues<double> gradients = tiny.gradients();
    const double rate = 0.01 * static_cast<double>(step + 1);
    const moe::UpdateReport report = optimizer.step(tiny.context, rate, true);
    oracle.step(config, gradients, 0.5, rate);
    EXPECT_TRUE(report.applied);
    EXPECT_EQ(report.clip_factor, 1.0);
    EXPECT_NEAR(report.gradient_norm, norm_of(gradients) / 2, 1e-9);
    EXPECT_EQ(optimizer.updates(), static_cast<std::int64_t>(step) + 1);
    const NamedValues<double> masters = masters_of(optimizer);
    for (const auto& [name, values] : masters) expect_close(values, oracle.weights.at(name), 1e-5, name);
    for (const moe::Parameter* parameter : tiny.parameters()) {
      const std::vector<double>& exact = masters.at(parameter->spec.name);
      const auto wide = f32_tensor(parameter->weight.shape(), exact);
      const kernels::Tensor rounded = as_bf16(wide);
      EXPECT_TRUE(same_bits(parameter->weight, parameter->weight.dtype() == DType::f32
                                                   ? ConstTensorView(wide)
                                                   : ConstTensorView(rounded)))
          << parameter->spec.name;
    }
  }
  for (const auto& [name, values] : state_of(optimizer)) {
    const std::vector<double> actual(values.begin(), values.end());
    if (name.starts_with("optimizer.m.")) expect_close(actual, oracle.m.at(name.substr(12)), 1e-5, name);
    if (name.starts_with("optimizer.v.")) expect_close(actual, oracle.v.at(name.substr(12)), 1e-5, name);
  }
}

TEST(Optimizer, ClipsByTheNormOverAllParameters) {
  TinyModel tiny(optimizer_model(), 1, tiny_limits(kSequences, kLength));
  OptimizerConfig config = tiny_optimizer();
  config.clip_norm = 0.25;
  Optimizer optimizer(tiny.model, tiny.mesh, config, 1);
  tiny.model.clear_gradients();
  tiny.model.train_unit(tiny.context,
                        UnitTensors(random_unit(tiny.model.config(), kSequences, kLength, 3)).input(),
                        moe::Recompute::none);
  const NamedValues<double> gradients = tiny.gradients();
  const double norm = norm_of(gradients);
  ASSERT_GT(norm, config.clip_norm);
  const moe::UpdateReport report = optimizer.step(tiny.context, 0.01, true);
  EXPECT_NEAR(report.gradient_norm, norm, 1e-9);
  EXPECT_NEAR(report.clip_factor, 0.25 / norm, 1e-9);
  for (const auto& [name, values] : state_of(optimizer)) {
    if (!name.starts_with("optimizer.m.")) continue;
    std::vector<double> expected = gradients.at(name.substr(12));
    for (double& value : expected) value *= 0.1 * 0.25 / norm;
    expect_close({values.begin(), values.end()}, expected, 1e-5, name);
  }
}

// What makes a step not finite, on one rank alone.
enum class Trouble { loss, gradient };

TEST(Optimizer, LeavesEverythingUntouchedOnAllRanksWhenOneIsNotFinite) {
  for (const Trouble trouble : {Trouble::loss, Trouble::gradient}) {
    for (const int ranks : {1, 2, 3, 4}) {
      SCOPED_TRACE(std::to_string(ranks) + " ranks");
      std::mutex lock;
      parallel::run_local(ranks, [&](parallel::Communicator& world) {
        moe::ModelConfig config = optimizer_model();
        config.moe.experts = 12;
        kernels::Context context(1);
        parallel::Mesh mesh(world, ranks, config.moe.experts);
        moe::Model model(context, config, mesh, tiny_limits(kSequences, kLength, ranks), 1);
        set_random_weights(model, 1);
        Optimizer optimizer(model, mesh, tiny_optimizer(), ranks);
        const UnitTensors unit(
            random_unit(config, kSequences, kLength, static_cast<std::uint64_t>(world.rank())));
        model.clear_gradients();
        model.train_unit(context, unit.input(), moe::Recompute::none);
        const moe::UpdateReport first = optimizer.step(context, 0.01, true);
        const NamedValues<float> before = state_of(optimizer);

        model.clear_gradients();
        model.train_unit(context, unit.input(), moe::Recompute::none);
        const bool last = world.rank() == ranks - 1;
        // As the gradient ops do for a value that is no number.
        if (trouble == Trouble::gradient && last)
          ++*model.dense().find("head.weight").gradient.overflow.data<std::int64_t>();
        const moe::UpdateReport report = optimizer.step(context, 0.01, !(trouble == Trouble::loss && last));
        const std::scoped_lock held(lock);
        EXPECT_TRUE(first.applied);
        EXPECT_FALSE(report.applied);
        EXPECT_TRUE(std::isnan(report.gradient_norm));
        EXPECT_EQ(optimizer.updates(), 1);
        EXPECT_EQ(state_of(optimizer), before) << "rank " << world.rank();
      });
    }
  }
}

TEST(Optimizer, ANotFiniteWeightShowsInTheStep) {
  TinyModel tiny(optimizer_model(), 1, tiny_limits(kSequences, kLength));
  Optimizer optimizer(tiny.model, tiny.mesh, tiny_optimizer(), 1);
  tiny.model.dense().find("layers.1.moe.router.weight").weight.data<float>()[0] = std::nanf("");
  tiny.model.clear_gradients();
  tiny.model.train_unit(tiny.context,
                        UnitTensors(random_unit(tiny.model.config(), kSequences, kLength, 3)).input(),
                        moe::Recompute::none);
  EXPECT_FALSE(optimizer.step(tiny.context, 0.01, true).applied);
}

TEST(Optimizer, TheSlicesOfAllRanksCoverEveryTensorOnce) {
  for (const auto& [ranks, axis] : {std::pair{1, 1}, {2, 1}, {3, 3}, {4, 2}, {6, 6}}) {
    SCOPED_TRACE(std::to_string(ranks) + "x" + std::to_string(axis));
    moe::ModelConfig config = optimizer_model();
    config.width = 48;  // several runs of the norm in a tensor
    NamedValues<int> covered;
    for (const moe::ParameterSpec& spec : moe::parameter_specs(config)) {
      std::size_t elements = 1;
      for (const std::int64_t extent : spec.shape) elements *= static_cast<std::size_t>(extent);
      for (const char* prefix : {"", "optimizer.m.", "optimizer.v."})
        covered[prefix + spec.name].resize(elements);
    }
    for (const char* layer : {"0", "1"})
      covered["layers." + std::string(layer) + ".moe.router.bias"].resize(6);
    std::mutex lock;
    parallel::run_local(ranks, [&](parallel::Communicator& world) {
      kernels::Context context(1);
      parallel::Mesh mesh(world, axis, config.moe.experts);
      moe::Model model(context, config, mesh, tiny_limits(kSequences, kLength), 1);
      Optimizer optimizer(model, mesh, tiny_optimizer(), 1);
      const std::scoped_lock held(lock);
      for (const StateSlice& slice : optimizer.owned_state()) {
        ASSERT_TRUE(covered.contains(slice.name)) << slice.name;
        auto& counts = covered[slice.name];
        ASSERT_LE(slice.end, std::ssize(counts)) << slice.name;
        for (std::int64_t i = slice.begin; i < slice.end; ++i) ++counts[static_cast<std::size_t>(i)];
      }
    });
    for (const auto& [name, counts] : covered) EXPECT_THAT(counts, ::testing::Each(1)) << name;
  }
}

TEST(Optimizer, BalancesEachLayerByItsOwnLoads) {
  TinyModel tiny(optimizer_model(), 1, tiny_limits(kSequences, kLength));
  Optimizer optimizer(tiny.model, tiny.mesh, tiny_optimizer(), 1);
  const SelectionBiases before = tiny.biases();
  optimizer.balance({{9, 1, 5, 5, 5, 5}, {5, 5, 5, 5, 5, 5}});
  const SelectionBiases after = tiny.biases();
  const double rate = static_cast<double>(static_cast<float>(tiny.model.config().moe.bias_update_rate));
  EXPECT_NEAR(after[0][0] - before[0][0], -rate, 1e-7);
  EXPECT_NEAR(after[0][1] - before[0][1], rate, 1e-7);
  EXPECT_EQ(after[0][2], before[0][2]);
  EXPECT_EQ(after[1], before[1]);
  EXPECT_THROW(optimizer.balance({{1, 1, 1, 1, 1, 1}}), InternalError);
}

}  // namespace
}  // namespace switchyard::test
