#include "data/text/json_line.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

using Json = nlohmann::json;

std::string keys_of(const Json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items()) {
    if (keys.size() > 200) return keys + ", ...";
    keys += (keys.empty() ? "" : ", ") + key.substr(0, 64);
  }
  return keys.empty() ? "none" : keys;
}

}  // namespace

std::string json_line_text(std::string_view line, const std::string& key, const std::string& place) {
  Json document;
  try {
    document = Json::parse(line);
  } catch (const Json::exception& error) {
    const auto* parse = dynamic_cast<const Json::parse_error*>(&error);
    throw DataError(fmt::format(
        "data: a line of JSONL must be one JSON object; got a mistake at byte {} of the line ({}): {}",
        parse != nullptr ? parse->byte : 0, place, error.what()));
  }
  if (!document.is_object())
    throw DataError(fmt::format("data: a line of JSONL must be one JSON object; got {} ({})",
                                document.type_name(), place));
  const auto found = document.find(key);
  if (found == document.end())
    throw DataError(fmt::format(
        "data: each JSON object must have key '{}'; got keys: {} ({}): name the key that holds the "
        "text",
        key, keys_of(document), place));
  if (!found->is_string())
    throw DataError(fmt::format("data: '{}' must be a string; got {} ({})", key, found->type_name(), place));
  return std::move(found->get_ref<std::string&>());
}

}  // namespace switchyard::data
