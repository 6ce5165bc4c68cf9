#include "moe/model/cost.h"

#include "moe/model/parameters.h"

namespace switchyard::moe {

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
  const double attention = 6.0 * static_cast<double>(config.layers * config.heads * head_width(config)) *
                           static_cast<double>(sequence_length);
  cost.train_flops_per_token = 6.0 * matrix_elements + attention;
  return cost;
}

}  // namespace switchyard::moe
