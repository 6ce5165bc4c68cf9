// A tiny model trained for a few steps on a device or the CPU, by threads as ranks, and all that it leaves.
// Knows nothing of the stand-in (tests/support/cuda_on_host): the same runs on a GPU.
#pragma once

#include <exception>
#include <functional>
#include <vector>

#include "moe/model/model.h"
#include "parallel/communicators/device/device_world.h"
#include "tests/moe/support/tiny_model.h"

namespace switchyard::test {

struct DeviceTraining {
  moe::ModelConfig config = {};
  Device device = Device::cuda;
  int ranks = 1;
  int axis = 1;
  std::int64_t B = 2, T = 5, units = 2, steps = 3;
  std::int64_t exchange_rows = 0;
  moe::Recompute recompute = moe::Recompute::none;
  std::uint64_t seed = 3;  ///< of the weights
  /// Put into the selection biases before the first step; empty = as they are.
  std::vector<float> biases = {};
  /// Called on each rank before its context is made, after each step, and with what it throws.
  std::function<void(int rank)> place = [](int) {};
  std::function<void(int rank, std::int64_t step)> after_step = [](int, std::int64_t) {};
  std::function<void(int rank, const std::exception&)> failed = [](int, const std::exception&) {};
  parallel::NcclLimits limits = {};
  /// NCCL's calls for a rank's queue; empty = the library's.
  std::function<std::unique_ptr<parallel::NcclCalls>(int rank, kernels::DeviceQueue&)> nccl = {};
};

/// By bits where a device gives the same on every layout.
struct DeviceOutcome {
  parallel::DeviceRoute route = parallel::DeviceRoute::none;
  std::vector<double> losses;  ///< by step and unit
  std::vector<double> norms;   ///< by step
  NamedValues<float> state;    ///< masters, moments and biases, whole
};

/// Throws what a rank throws first.
DeviceOutcome train_on_device(const DeviceTraining& training);

/// With all balancing terms.
moe::ModelConfig balanced_config();

void expect_same_bits(const DeviceOutcome& actual, const DeviceOutcome& expected);
void expect_near(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance);

}  // namespace switchyard::test
