// The whole model and its optimizer on the device: the CPU's numbers within tolerance, the same bits however
// the device orders its work, and no memory taken once a step has been made.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/runtime/host_values.h"
#include "moe/model/step_totals.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/local.h"
#include "tests/moe/support/tiny_model.h"
#include "tests/support/cuda_on_host/control.h"

namespace switchyard::test {
namespace {

constexpr std::int64_t kUnits = 2, kSequences = 2, kTokens = 5;

struct Trained {
  std::vector<double> losses, norms;
  std::vector<std::byte> state;
  cuda_on_host::Counters after_first, after_all;
};

std::vector<std::byte> bytes_of(moe::Model& model, moe::Optimizer& optimizer) {
  std::vector<std::byte> bytes;
  for (const moe::StateSlice& slice : optimizer.owned_state()) {
    const kernels::HostValues values(model.context(), slice.values());
    const auto* begin = static_cast<const std::byte*>(values.view().raw());
    bytes.insert(bytes.end(), begin, begin + values.view().bytes());
  }
  return bytes;
}

Trained train(const moe::ModelConfig& config, Device device, std::int64_t steps, moe::Recompute recompute) {
  kernels::Context context(1, kernels::Isa::generic, device);
  const auto world = parallel::single_rank();
  parallel::Mesh mesh(*world, 1, config.moe.experts);
  moe::Model model(context, config, mesh, tiny_limits(kSequences, kTokens, kUnits), 3);
  moe::OptimizerConfig optimizer_config;
  optimizer_config.clip_norm = 0.5;
  moe::Optimizer optimizer(model, mesh, optimizer_config, kUnits);
  Trained trained;
  for (std::int64_t step = 0; step < steps; ++step) {
    model.clear_gradients();
    moe::StepTotals totals(model.moe_layers(), config.moe.experts);
    for (std::int64_t unit = 0; unit < kUnits; ++unit) {
      const UnitTensors input(random_unit(config, kSequences, kTokens, static_cast<std::uint64_t>(unit + 1)));
      const moe::UnitResult result = model.train_unit(context, input.input(), recompute, unit + 1 == kUnits);
      trained.losses.push_back(result.loss);
      totals.add(result);
    }
    const moe::StepSummary summary = totals.reduce(*world);
    trained.norms.push_back(optimizer.step(context, 0.02, summary.finite).gradient_norm);
    if (config.moe.bias_balancing) {
      std::vector<std::vector<std::int64_t>> loads;
      for (const moe::LayerSummary& layer : summary.layers) loads.push_back(layer.load);
      optimizer.balance(loads);
    }
    if (step == 0) trained.after_first = cuda_on_host::counters();
  }
  trained.after_all = cuda_on_host::counters();
  trained.state = bytes_of(model, optimizer);
  return trained;
}

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], tolerance * std::abs(expected[i])) << i;
}

moe::ModelConfig balanced_config() {
  moe::ModelConfig config = moe_config();
  config.moe.aux_loss = 0.01;
  config.moe.z_loss = 0.001;
  config.moe.bias_balancing = true;
  return config;
}

TEST(DeviceModel, TrainsToTheNumbersOfTheCpu) {
  for (const moe::ModelConfig& config : {dense_config(), balanced_config()}) {
    const Trained cpu = train(config, Device::cpu, 3, moe::Recompute::none);
    const Trained device = train(config, Device::cuda, 3, moe::Recompute::none);
    expect_near(device.losses, cpu.losses, 1e-5);
    expect_near(device.norms, cpu.norms, 1e-4);
    EXPECT_LT(device.losses[4], device.losses[0]) << "it learns";
  }
}

TEST(DeviceModel, TrainsToTheNumbersOfTheCpuInBf16) {
  moe::ModelConfig config = balanced_config();
  config.activation = DType::bf16;
  const Trained cpu = train(config, Device::cpu, 3, moe::Recompute::none);
  const Trained device = train(config, Device::cuda, 3, moe::Recompute::none);
  expect_near(device.losses, cpu.losses, 2e-2);
}

TEST(DeviceModel, GivesTheSameBitsHoweverTheDeviceOrdersItsWork) {
  const moe::ModelConfig config = balanced_config();
  const Trained first = train(config, Device::cuda, 2, moe::Recompute::none);
  for (const std::uint64_t seed : {1, 2}) {
    cuda_on_host::set_schedule(cuda_on_host::Order::others_first, seed);
    const Trained again =
        train(config, Device::cuda, 2, seed == 1 ? moe::Recompute::none : moe::Recompute::block);
    EXPECT_EQ(again.losses, first.losses);
    EXPECT_EQ(again.norms, first.norms);
    EXPECT_TRUE(again.state == first.state);
  }
  cuda_on_host::set_schedule(cuda_on_host::Order::awaited_only, 0);
}

TEST(DeviceModel, TakesNoMemoryAndNeverWaitsForTheWholeDeviceAfterTheFirstStep) {
  const Trained trained = train(balanced_config(), Device::cuda, 3, moe::Recompute::none);
  EXPECT_EQ(trained.after_all.device_allocations, trained.after_first.device_allocations);
  EXPECT_EQ(trained.after_all.pinned_allocations, trained.after_first.pinned_allocations);
  EXPECT_EQ(trained.after_all.device_waits, 0);
}

}  // namespace
}  // namespace switchyard::test
