// The whole model and its optimizer on the device: the CPU's numbers within tolerance, and the same bits
// whatever the number of ranks that share it.
#include <gtest/gtest.h>

#include <utility>

#include "tests/moe/device/device_training.h"

namespace switchyard::test {
namespace {

DeviceTraining on_cpu(DeviceTraining training) {
  training.device = Device::cpu;
  return training;
}

TEST(DeviceModel, TrainsToTheNumbersOfTheCpu) {
  for (const moe::ModelConfig& config : {dense_config(), balanced_config()}) {
    const DeviceTraining training{.config = config};
    const DeviceOutcome cpu = train_on_device(on_cpu(training));
    const DeviceOutcome device = train_on_device(training);
    expect_near(device.losses, cpu.losses, 1e-5);
    expect_near(device.norms, cpu.norms, 1e-4);
    EXPECT_LT(device.losses[4], device.losses[0]) << "it learns";
  }
}

TEST(DeviceModel, TrainsToTheNumbersOfTheCpuInBf16) {
  DeviceTraining training{.config = balanced_config()};
  training.config.activation = DType::bf16;
  const DeviceOutcome cpu = train_on_device(on_cpu(training));
  const DeviceOutcome device = train_on_device(training);
  expect_near(device.losses, cpu.losses, 2e-2);
}

TEST(DeviceModel, RanksThatShareADeviceGiveTheBitsOfOne) {
  DeviceTraining training{.config = balanced_config(), .units = 3, .steps = 2};
  const DeviceOutcome expected = train_on_device(training);
  for (const auto& [ranks, axis] : {std::pair{2, 2}, {4, 2}}) {  // one of the four has no unit
    training.ranks = ranks;
    training.axis = axis;
    const DeviceOutcome outcome = train_on_device(training);
    EXPECT_EQ(outcome.route, parallel::DeviceRoute::host_memory);
    expect_same_bits(outcome, expected);
  }
}

TEST(DeviceModel, AlsoInBf16WithRecomputation) {
  DeviceTraining training{.config = balanced_config(), .units = 3, .steps = 2};
  training.config.activation = DType::bf16;
  const DeviceOutcome expected = train_on_device(training);
  training.recompute = moe::Recompute::block;
  training.ranks = training.axis = 3;
  expect_same_bits(train_on_device(training), expected);
}

// Every token to the first two experts, which one rank holds.
TEST(DeviceModel, AnOverloadIsWorkedOffInRounds) {
  DeviceTraining training{.config = balanced_config(), .B = 1, .T = 140, .units = 2, .steps = 1};
  training.config.max_sequence_length = 140;
  training.biases = {100, 100, 0, 0, 0, 0};
  const DeviceOutcome expected = train_on_device(training);
  training.ranks = training.axis = 2;
  training.exchange_rows = 256;
  expect_same_bits(train_on_device(training), expected);
}

}  // namespace
}  // namespace switchyard::test
