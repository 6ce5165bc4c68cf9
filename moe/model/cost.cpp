#include "moe/model/cost.h"

#include "moe/model/parameters.h"

namespace switchyard::moe {

namespace {
// Keys that a query sees on average over T positions: T / 2, or W - W^2 / 2T where a window W is shorter.
double mean_keys(std::int64_t sequence_length, std::int64_t window) {
  const auto T = static_cast<double>(sequence_length), W = static_cast<double>(window);
  return window == 0 || window >= sequence_length ? T / 2 : W - W * W / (2 * T);
}
}  // namespace

ModelCost model_cost(const ModelConfig& config, std::int64_t sequence_length) {
  ModelCost cost;
  double matrix_elements = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : spec.shape) elements *= extent;
    cost.parameters += elements;
    const std::int64_t active = spec.is_expert ? elements / config.moe.experts * config.moe.top_k : elements;
    cost.active_parameters += active;
    const bool looked_up = spec.role == Role::embedding && !config.tied_head;
    if (spec.shape.size() > 1 && !looked_up) matrix_elements += static_cast<double>(active);
  }
  double keys = 0;
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    keys += mean_keys(sequence_length, sliding_window(config, layer));
  const double attention = 12.0 * static_cast<double>(config.heads * head_width(config)) * keys;
  cost.train_flops_per_token = 6.0 * matrix_elements + attention;
  return cost;
}

}  // namespace switchyard::moe
