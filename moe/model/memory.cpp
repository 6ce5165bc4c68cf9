#include "moe/model/memory.h"

#include "moe/model/parameters.h"

namespace switchyard::moe {

StateMemory state_memory(const ModelConfig& config, std::int64_t ranks, std::int64_t expert_axis) {
  const std::int64_t owners[] = {ranks, ranks / expert_axis};  // of dense tensors, of experts
  const std::int64_t moments = 2 * static_cast<std::int64_t>(sizeof(float));
  StateMemory memory;
  bool has_masters[] = {false, false};
  std::int64_t elements_of[] = {0, 0};
  for (const ParameterSpec& spec : parameter_specs(config)) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : spec.shape) elements *= extent;
    if (spec.is_expert) elements /= expert_axis;
    const DType dtype = weight_dtype(spec.role, config.activation);
    const std::size_t group = spec.is_expert ? 1 : 0;
    elements_of[group] += elements;
    has_masters[group] = has_masters[group] || dtype != DType::f32;
    memory.weights += elements * static_cast<std::int64_t>(dtype_size(dtype));
  }
  for (const std::size_t group : {0, 1}) {
    const std::int64_t masters = has_masters[group] ? static_cast<std::int64_t>(sizeof(float)) : 0;
    memory.parameters += elements_of[group];
    memory.sums += elements_of[group] * static_cast<std::int64_t>(sizeof(std::int64_t));
    memory.optimizer += elements_of[group] * (moments + masters) / owners[group];
  }
  return memory;
}

}  // namespace switchyard::moe
