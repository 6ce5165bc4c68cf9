#include "moe/model/step_totals.h"

#include <algorithm>
#include <cmath>

namespace switchyard::moe {

namespace {

// Means are kept in multiples of 2^-36 up to 2^12 each: 2^14 units of the largest still fit 63 bits. A loss
// beyond that has diverged.
constexpr double kUnit = 0x1p-36;
constexpr double kLargest = 0x1p12;

// Adds a mean to a word of the grid, or counts it as refused.
void add_value(std::int64_t& word, std::int64_t& refused, double value) {
  if (std::abs(value) <= kLargest) {
    word += std::llrint(value / kUnit);
  } else {
    ++refused;  // also for NaN, which compares false
  }
}

double mean(std::int64_t word, std::int64_t units) {
  return units == 0 ? 0.0 : static_cast<double>(word) * kUnit / static_cast<double>(units);
}

}  // namespace

double StepSummary::auxiliary_loss() const {
  double total = 0;
  for (const LayerSummary& layer : layers) total += layer.aux_loss + layer.sequence_aux_loss + layer.z_loss;
  return total;
}

StepTotals::StepTotals(const std::vector<std::int64_t>& moe_layers, std::int64_t experts)
    : moe_layers_(moe_layers),
      experts_(static_cast<std::size_t>(experts)),
      stride_(kPerLayer + experts_),
      words_(kHeader + moe_layers.size() * stride_) {}

void StepTotals::clear() {
  std::fill(words_.begin(), words_.end(), 0);
}

void StepTotals::add(const UnitResult& result) {
  SWITCHYARD_CHECK(result.routing.size() == moe_layers_.size(), "{} MoE layers; got {}", moe_layers_.size(),
                   result.routing.size());
  words_[0] += 1;
  add_value(words_[2], words_[1], result.loss);
  for (std::size_t m = 0; m < result.routing.size(); ++m) {
    const RoutingStatistics& routing = result.routing[m];
    std::int64_t* word = layer(m);
    word[0] += routing.dropped;
    add_value(word[1], words_[1], routing.entropy);
    add_value(word[2], words_[1], routing.aux_loss);
    add_value(word[3], words_[1], routing.sequence_aux_loss);
    add_value(word[4], words_[1], routing.z_loss);
    for (std::size_t e = 0; e < experts_; ++e) word[kPerLayer + e] += routing.load[e];
  }
}

StepSummary StepTotals::reduce(parallel::Communicator& world) const {
  StepTotals total = *this;
  world.all_reduce_sum(total.words_);
  StepSummary summary;
  summary.units = total.words_[0];
  summary.finite = total.words_[1] == 0;
  summary.loss = summary.finite ? mean(total.words_[2], summary.units) : std::nan("");
  for (std::size_t m = 0; m < moe_layers_.size(); ++m) {
    const std::int64_t* word = total.layer(m);
    LayerSummary layer_summary;
    layer_summary.layer = moe_layers_[m];
    layer_summary.dropped = word[0];
    layer_summary.entropy = mean(word[1], summary.units);
    layer_summary.aux_loss = mean(word[2], summary.units);
    layer_summary.sequence_aux_loss = mean(word[3], summary.units);
    layer_summary.z_loss = mean(word[4], summary.units);
    layer_summary.load.assign(word + kPerLayer, word + kPerLayer + experts_);
    summary.layers.push_back(std::move(layer_summary));
  }
  return summary;
}

}  // namespace switchyard::moe
