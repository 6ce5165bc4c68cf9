// config.json of a Hugging Face folder as a configuration of our model.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/hugging_face/family/family.h"
#include "moe/model/config.h"

namespace switchyard::app {

struct ModelDescription {
  Family family = Family::mixtral;
  moe::ModelConfig model;
  /// Keys that neither we nor the family know. They may mean nothing; a person should look.
  std::vector<std::string> unknown_keys;
  /// What the file asks for in training and this program does otherwise, one line each.
  std::vector<std::string> notes;
  /// `torch_dtype` or `dtype`; empty if absent.
  std::string dtype;
  std::optional<std::int64_t> end_of_document;  ///< eos_token_id, the first of a list
};

/// Every key that changes a number of the forward or backward pass is taken over or refused; absent keys mean
/// what transformers takes them for. Throws DataError, beginning with `place`, with a line for each refused
/// key: its JSON path, the rule, the value.
ModelDescription read_model_description(const nlohmann::json& config, std::string_view place);

}  // namespace switchyard::app
