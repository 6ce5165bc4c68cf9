// Our model as config.json and generation_config.json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "app/hugging_face/family/family.h"
#include "moe/model/config.h"

namespace switchyard::app {

struct ConfigFacts {
  std::int64_t vocabulary = 0;  ///< rows of embedding and head in the folder
  /// Token that begins and ends documents; empty where no tokenizer is known.
  std::optional<std::int64_t> end_of_document;
  std::string_view dtype;  ///< "float32" or "bfloat16"
};

/// config.json: every key of the family's configuration class that bears on numbers, whatever its default, in
/// the spelling that transformers 4 and 5 both read. `model` must have no obstacles (match.h).
nlohmann::ordered_json model_description(const FamilyTraits& family, const moe::ModelConfig& model,
                                         const ConfigFacts& facts);

/// generation_config.json: documents begin and end with the same token.
nlohmann::ordered_json generation_description(const ConfigFacts& facts);

}  // namespace switchyard::app
