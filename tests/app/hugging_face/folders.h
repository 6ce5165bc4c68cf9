// What transformers 5 itself writes for a tiny model of each family: config.json and the tensors of the
// folder.
#pragma once

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/hugging_face/family/family.h"

namespace switchyard::test {

inline std::filesystem::path names_folder() {
  return std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "tests/app/hugging_face/names";
}

inline nlohmann::json written_config(const app::FamilyTraits& family) {
  std::ifstream file(names_folder() / (std::string(family.model_type) + ".json"));
  return nlohmann::json::parse(file);
}

/// Shape of each tensor by name.
inline std::map<std::string, std::vector<std::int64_t>> written_tensors(const app::FamilyTraits& family) {
  std::ifstream file(names_folder() / (std::string(family.model_type) + ".txt"));
  std::map<std::string, std::vector<std::int64_t>> tensors;
  for (std::string name, dims; file >> name >> dims;)
    tensors[name] = nlohmann::json::parse("[" + dims + "]").get<std::vector<std::int64_t>>();
  return tensors;
}

}  // namespace switchyard::test
