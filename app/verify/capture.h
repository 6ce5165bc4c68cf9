// Everything a few training steps produced, whole, on every rank: what `verify` compares.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/runtime/context.h"
#include "moe/model/state.h"
#include "moe/model/step_totals.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::app {

/// A global tensor put together from the slices of all ranks.
struct GlobalTensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};
using GlobalTensors = std::map<std::string, GlobalTensor>;

struct StepCapture {
  std::int64_t step = 0;          ///< steps done after it
  std::vector<double> unit_loss;  ///< by unit
  moe::StepSummary summary;
  double gradient_norm = 0;
  GlobalTensors gradients;  ///< exact sums, i64
  GlobalTensors state;      ///< weights, moments, balancing biases after the step
};
using Capture = std::vector<StepCapture>;

/// Puts the slices of all ranks together. Collective. Throws InternalError unless they cover each tensor
/// once.
GlobalTensors assemble(kernels::Context& context, parallel::Communicator& world,
                       const std::vector<moe::StateSlice>& slices);
/// Fills the slices from whole tensors.
void scatter(kernels::Context& context, const GlobalTensors& tensors,
             const std::vector<moe::StateSlice>& slices);

/// The first place at which two captures differ: losses, counts, gradients, norm, then weights and moments,
/// step by step. Empty if every bit is equal.
std::string first_difference(const Capture& expected, const Capture& found);

}  // namespace switchyard::app
