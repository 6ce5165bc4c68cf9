// The rotary positions of a config.json, in both of its spellings.
#pragma once

#include "app/hugging_face/family/family.h"
#include "app/hugging_face/family/json_keys.h"
#include "moe/model/config.h"

namespace switchyard::app {

/// `rope_theta` and `rope_scaling` (transformers 4), or `rope_parameters` (5). What stands in the inner
/// object wins over `rope_theta` beside it; absent, it is the family's.
void read_rope(JsonKeys& keys, const FamilyTraits& traits, Refusals& refusals, moe::ModelConfig& model);

}  // namespace switchyard::app
