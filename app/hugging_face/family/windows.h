// Sliding windows of attention: each family says in its own way which layers have one.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/hugging_face/family/family.h"
#include "app/hugging_face/family/json_keys.h"
#include "moe/model/config.h"

namespace switchyard::app {

/// Sets model.sliding_window from `sliding_window`, `use_sliding_window`, `max_window_layers` and
/// `layer_types`. Reads model.layers.
void read_windows(JsonKeys& keys, const FamilyTraits& traits, moe::ModelConfig& model);

/// What of the model's windows the family cannot say, for match.h; empty if it can say all.
std::string window_obstacle(const FamilyTraits& traits, const moe::ModelConfig& model);

/// The keys that say them, where the family has any. The model must have no obstacle.
void write_windows(nlohmann::ordered_json& config, const FamilyTraits& traits, const moe::ModelConfig& model);

}  // namespace switchyard::app
