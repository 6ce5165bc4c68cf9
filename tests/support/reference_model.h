// The whole decoder written a second time, from the formulas, on any scalar: the specification that
// moe::Model is held to. Composed of kernels/reference; choices look at real parts only, so a complex step
// never changes one.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "moe/model/config.h"

namespace switchyard::test {

/// Flattened global tensors by the names of moe::parameter_specs.
template <typename T>
using NamedValues = std::map<std::string, std::vector<T>>;

/// One unit: tokens and targets (B, T), row-major.
struct ReferenceUnit {
  std::int64_t B = 0;
  std::int64_t T = 0;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> targets;
  std::int64_t N() const { return B * T; }
};

/// What one MoE layer decided.
struct ReferenceRouting {
  std::vector<std::int64_t> load;  ///< (E), before drops
  std::int64_t dropped = 0;
  double entropy = 0;
  double aux_loss = 0;
  double sequence_aux_loss = 0;
  double z_loss = 0;
  /// The smallest difference between two numbers whose order decided something: who is chosen, which group is
  /// kept, what is counted, what is dropped. Rounding must stay below it for a comparison to make sense.
  double margin = HUGE_VAL;
};

template <typename T>
struct ReferenceLoss {
  T cross_entropy = 0;  ///< mean over rows
  T total = 0;          ///< with the balancing losses of all layers
  std::vector<ReferenceRouting> routing;
};

/// Selection biases (E) of each MoE layer; empty without.
using SelectionBiases = std::vector<std::vector<double>>;

/// T is double or std::complex<double>.
template <typename T>
ReferenceLoss<T> reference_loss(const moe::ModelConfig& config, const SelectionBiases& biases,
                                const NamedValues<T>& weights, const ReferenceUnit& unit);

/// Gradient of `total` with respect to every element of every tensor.
NamedValues<double> reference_gradients(const moe::ModelConfig& config, const SelectionBiases& biases,
                                        const NamedValues<double>& weights, const ReferenceUnit& unit);

}  // namespace switchyard::test
