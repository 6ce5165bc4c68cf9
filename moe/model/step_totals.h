// Sums over the units of a step, exact: every number is an integer (means in multiples of 2^-36), so units
// and ranks may be added in any order.
#pragma once

#include <cstdint>
#include <vector>

#include "moe/model/model.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::moe {

/// Means over the units of a step, the same on every rank.
struct LayerSummary {
  std::int64_t layer = 0;
  std::vector<std::int64_t> load;  ///< slots per expert over the step
  std::int64_t dropped = 0;
  double entropy = 0;
  double aux_loss = 0;
  double sequence_aux_loss = 0;
  double z_loss = 0;
};
struct StepSummary {
  std::int64_t units = 0;
  bool finite = true;  ///< every loss was a number within the grid
  double loss = 0;     ///< cross-entropy, nats per token
  std::vector<LayerSummary> layers;

  /// All balancing losses, summed over layers.
  double auxiliary_loss() const;
};

class StepTotals {
 public:
  StepTotals(const std::vector<std::int64_t>& moe_layers, std::int64_t experts);
  void clear();
  /// Adds one unit. A unit without rows must not be added.
  void add(const UnitResult& result);
  /// Sums over the ranks of `world` (collective) and divides by the number of units.
  StepSummary reduce(parallel::Communicator& world) const;

 private:
  std::int64_t* layer(std::size_t index) { return words_.data() + kHeader + index * stride_; }

  static constexpr std::size_t kHeader = 3;  // units, refused values, loss
  static constexpr std::size_t kPerLayer = 5;
  std::vector<std::int64_t> moe_layers_;
  std::size_t experts_;
  std::size_t stride_;
  std::vector<std::int64_t> words_;
};

}  // namespace switchyard::moe
