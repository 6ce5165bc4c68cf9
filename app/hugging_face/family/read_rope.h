// The rotary positions of a config.json: read in both of its spellings, written in the older one.
#pragma once

#include <nlohmann/json.hpp>

#include "app/hugging_face/family/family.h"
#include "app/hugging_face/family/json_keys.h"
#include "moe/model/config.h"

namespace switchyard::app {

/// `rope_theta` and `rope_scaling` (transformers 4), or `rope_parameters` (5). What stands in the inner
/// object wins over `rope_theta` beside it; absent, it is the family's.
/// Frequency scalings linear, llama3 and yarn are taken over. Reads model.max_sequence_length.
void read_rope(JsonKeys& keys, const FamilyTraits& traits, Refusals& refusals, moe::ModelConfig& model);

/// The value of `rope_scaling`; null without a scaling.
nlohmann::ordered_json rope_description(const kernels::RopeScaling& scaling);

}  // namespace switchyard::app
