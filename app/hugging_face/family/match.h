// Which family a configuration of ours is, and what keeps it from being another.
#pragma once

#include <string>
#include <vector>

#include "app/hugging_face/family/family.h"
#include "moe/model/config.h"

namespace switchyard::app {

/// What of `model` the family cannot say, one text for each key: "model.qk_norm must be full_width; got
/// none". Empty: the family computes the same numbers.
std::vector<std::string> obstacles(const FamilyTraits& family, const moe::ModelConfig& model);

/// The family to export as: the first one without obstacles in an order that prefers the plainest, or the
/// `wanted` one (a model_type; empty = choose). Throws UserError for an unknown name, or with one line per
/// family that says what prevents it.
const FamilyTraits& choose_family(const moe::ModelConfig& model, std::string_view wanted);

}  // namespace switchyard::app
