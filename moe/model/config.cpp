#include "moe/model/config.h"

namespace switchyard::moe {

bool is_moe_layer(const ModelConfig& config, std::int64_t layer) {
  if (config.moe.experts == 0 || layer < config.moe.first_dense_layers) return false;
  return (layer - config.moe.first_dense_layers + 1) % config.moe.every == 0;
}

std::int64_t expert_width(const ModelConfig& config, std::int64_t layer) {
  const auto& widths = config.moe.expert_width;
  return widths.size() == 1 ? widths[0] : widths.at(static_cast<std::size_t>(layer));
}

std::int64_t dense_width(const ModelConfig& config) {
  if (config.mlp_width > 0) return config.mlp_width;
  const std::int64_t exact = (8 * config.width + 2) / 3;
  return (exact + 31) / 32 * 32;
}

std::int64_t shared_width(const ModelConfig& config, std::int64_t layer) {
  if (config.moe.shared_experts == 0) return 0;
  const std::int64_t one =
      config.moe.shared_expert_width > 0 ? config.moe.shared_expert_width : expert_width(config, layer);
  return config.moe.shared_experts * one;
}

std::int64_t head_width(const ModelConfig& config) {
  return config.head_width > 0 ? config.head_width : config.width / config.heads;
}

}  // namespace switchyard::moe
