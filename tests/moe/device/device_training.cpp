#include "tests/moe/device/device_training.h"

#include <cmath>
#include <mutex>

#include "kernels/runtime/host_values.h"
#include "moe/model/step_totals.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/local.h"

namespace switchyard::test {

namespace {

// What this rank owns, into whole tensors.
void record(kernels::Context& context, const std::vector<moe::StateSlice>& slices,
            NamedValues<float>& state) {
  for (const moe::StateSlice& slice : slices) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : slice.shape) elements *= extent;
    auto& whole = state[slice.name];
    whole.resize(static_cast<std::size_t>(elements), std::nanf(""));
    const kernels::HostValues values(context, slice.values());
    std::copy_n(values.data<float>(), slice.end - slice.begin, whole.begin() + slice.begin);
  }
}

void set_biases(kernels::Context& context, moe::Model& model, const std::vector<float>& biases) {
  if (biases.empty()) return;
  for (const TensorView& bias : model.balancing_biases()) {
    kernels::HostEdit edit(context, bias);
    std::copy(biases.begin(), biases.end(), edit.view().data<float>());
    edit.finish();
  }
}

// One rank's part of a training.
class Rank {
 public:
  Rank(const DeviceTraining& training, parallel::Communicator& ranks, DeviceOutcome& outcome,
       std::mutex& lock)
      : training_(training),
        outcome_(outcome),
        lock_(lock),
        context_(1, kernels::Isa::generic, training.device),
        device_world_(open(ranks)),
        world_(device_world_.communicator ? *device_world_.communicator : ranks),
        mesh_(world_, training.axis, training.config.moe.experts),
        model_(context_, training.config, mesh_, limits(), training.seed),
        optimizer_(model_, mesh_, optimizer_config(), training.units) {
    set_biases(context_, model_, training.biases);
  }

  void run() {
    for (std::int64_t step = 0; step < training_.steps; ++step) {
      train_step(step);
      training_.after_step(world_.rank(), step);
    }
    const std::scoped_lock held(lock_);
    outcome_.route = device_world_.route.route;
    record(context_, optimizer_.owned_state(), outcome_.state);
  }

 private:
  parallel::DeviceWorld open(parallel::Communicator& ranks) {
    parallel::MakeNcclCalls make;
    if (training_.nccl)
      make = [this, rank = ranks.rank()] { return training_.nccl(rank, *context_.queue()); };
    return parallel::open_device_world(ranks, context_, "here", training_.limits, std::move(make));
  }
  moe::ModelLimits limits() const {
    moe::ModelLimits limits = tiny_limits(training_.B, training_.T, training_.units);
    limits.exchange_rows = training_.exchange_rows;
    return limits;
  }
  static moe::OptimizerConfig optimizer_config() {
    moe::OptimizerConfig config;
    config.clip_norm = 0.5;
    return config;
  }

  // Unit u belongs to rank u % ranks; a rank without one brings an empty unit.
  void train_step(std::int64_t step) {
    model_.clear_gradients();
    moe::StepTotals totals(model_.moe_layers(), training_.config.moe.experts);
    for (std::int64_t first = 0; first < training_.units; first += world_.size()) {
      const std::int64_t u = first + world_.rank();
      const bool has_unit = u < training_.units;
      const UnitTensors unit(random_unit(training_.config, has_unit ? training_.B : 0, training_.T,
                                         static_cast<std::uint64_t>(u + 1)));
      const bool last = first + world_.size() >= training_.units;
      const moe::UnitResult result = model_.train_unit(context_, unit.input(), training_.recompute, last);
      if (!has_unit) continue;
      totals.add(result);
      const std::scoped_lock held(lock_);
      outcome_.losses.at(static_cast<std::size_t>(step * training_.units + u)) = result.loss;
    }
    const moe::StepSummary summary = totals.reduce(world_);
    const moe::UpdateReport report = optimizer_.step(context_, 0.02, summary.finite);
    std::vector<std::vector<std::int64_t>> loads;
    for (const moe::LayerSummary& layer : summary.layers) loads.push_back(layer.load);
    optimizer_.balance(loads);
    const std::scoped_lock held(lock_);
    if (world_.rank() == 0) outcome_.norms.push_back(report.gradient_norm);
  }

  const DeviceTraining& training_;
  DeviceOutcome& outcome_;
  std::mutex& lock_;
  kernels::Context context_;
  parallel::DeviceWorld device_world_;
  parallel::Communicator& world_;
  parallel::Mesh mesh_;
  moe::Model model_;
  moe::Optimizer optimizer_;
};

}  // namespace

DeviceOutcome train_on_device(const DeviceTraining& training) {
  DeviceOutcome outcome;
  outcome.losses.resize(static_cast<std::size_t>(training.steps * training.units), std::nan(""));
  std::mutex lock;
  parallel::run_local(training.ranks, [&](parallel::Communicator& ranks) {
    training.place(ranks.rank());
    try {
      Rank(training, ranks, outcome, lock).run();
    } catch (const std::exception& error) {
      training.failed(ranks.rank(), error);
      throw;
    }
  });
  return outcome;
}

moe::ModelConfig balanced_config() {
  moe::ModelConfig config = moe_config();
  config.moe.aux_loss = 0.01;
  config.moe.z_loss = 0.001;
  config.moe.bias_balancing = true;
  return config;
}

void expect_same_bits(const DeviceOutcome& actual, const DeviceOutcome& expected) {
  EXPECT_EQ(actual.losses, expected.losses);
  EXPECT_EQ(actual.norms, expected.norms);
  ASSERT_EQ(actual.state.size(), expected.state.size());
  for (const auto& [name, values] : expected.state) EXPECT_EQ(actual.state.at(name), values) << name;
}

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], tolerance * std::abs(expected[i])) << i;
}

}  // namespace switchyard::test
