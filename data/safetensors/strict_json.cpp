#include "data/safetensors/strict_json.h"

#include <fmt/format.h>

#include <unordered_set>
#include <vector>

#include "kernels/runtime/error.h"

namespace switchyard::data {

void refuse_nul(std::string_view text, std::string_view place) {
  const auto at = text.find('\0');
  if (at != std::string_view::npos)
    throw DataError(fmt::format("{}: JSON must not hold a NUL byte; got one at byte {}", place, at));
}

nlohmann::json parse_strict_json(std::string_view text, int max_depth, std::string_view place) {
  using nlohmann::json;
  refuse_nul(text, place);
  std::vector<std::unordered_set<std::string>> keys;  // one set per open object
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > max_depth)
      throw DataError(fmt::format("{}: JSON may be nested at most {} deep", place, max_depth));
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw DataError(fmt::format("{}: key '{}' appears twice", place, parsed.get<std::string>()));
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& error) {
    throw DataError(fmt::format("{}: not valid JSON: {}", place, error.what()));
  }
}

}  // namespace switchyard::data
