#include "moe/model/config.h"

#include <algorithm>

namespace switchyard::moe {

bool is_moe_layer(const ModelConfig& config, std::int64_t layer) {
  if (config.moe.experts == 0 || layer < config.moe.first_dense_layers) return false;
  if (std::ranges::find(config.moe.dense_layers, layer) != config.moe.dense_layers.end()) return false;
  return (layer - config.moe.first_dense_layers + 1) % config.moe.every == 0;
}

std::int64_t moe_layer_count(const ModelConfig& config) {
  std::int64_t count = 0;
  for (std::int64_t layer = 0; layer < config.layers; ++layer) count += is_moe_layer(config, layer) ? 1 : 0;
  return count;
}

namespace {
std::int64_t of_layer(const std::vector<std::int64_t>& values, std::int64_t layer) {
  return values.size() == 1 ? values[0] : values.at(static_cast<std::size_t>(layer));
}
}  // namespace

std::int64_t sliding_window(const ModelConfig& config, std::int64_t layer) {
  return of_layer(config.sliding_window, layer);
}

std::int64_t expert_width(const ModelConfig& config, std::int64_t layer) {
  return of_layer(config.moe.expert_width, layer);
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
