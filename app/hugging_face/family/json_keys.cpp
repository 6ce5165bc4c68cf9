#include "app/hugging_face/family/json_keys.h"

#include <fmt/format.h>

#include <cmath>

namespace switchyard::app {

using nlohmann::json;

std::string shortened(const json& value) {
  constexpr std::size_t kShown = 80;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > kShown) text = text.substr(0, kShown - 3) + "...";
  return text;
}

JsonKeys::JsonKeys(const json& object, std::string path, Refusals& refusals)
    : object_(object), path_(std::move(path)), refusals_(refusals) {}

const json* JsonKeys::find(std::string_view key) {
  read_.emplace(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool JsonKeys::has(std::string_view key) {
  return find(key) != nullptr;
}

bool JsonKeys::is_null(std::string_view key) {
  read_.emplace(key);
  const auto found = object_.find(key);
  return found != object_.end() && found->is_null();
}

void JsonKeys::refuse(std::string_view key, std::string_view rule) {
  const auto found = object_.find(key);
  refusals_.push_back(fmt::format("{}{}: {}; got {}", path_, key, rule,
                                  found == object_.end() ? "nothing" : shortened(*found)));
}

std::optional<std::int64_t> JsonKeys::integer(std::string_view key, std::int64_t least, std::int64_t most) {
  const json* value = find(key);
  if (value == nullptr) return {};
  const bool is_wide =
      value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(most);
  if (!value->is_number_integer() || is_wide || value->get<std::int64_t>() < least ||
      value->get<std::int64_t>() > most) {
    refuse(key, fmt::format("must be an integer in {}..{}", least, most));
    return {};
  }
  return value->get<std::int64_t>();
}

std::optional<double> JsonKeys::number(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    refuse(key, "must be a finite number");
    return {};
  }
  return value->get<double>();
}

std::optional<bool> JsonKeys::boolean(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_boolean()) {
    refuse(key, "must be true or false");
    return {};
  }
  return value->get<bool>();
}

std::optional<std::string> JsonKeys::text(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) {
    refuse(key, "must be a text");
    return {};
  }
  return value->get<std::string>();
}

const json* JsonKeys::object(std::string_view key) {
  const json* value = find(key);
  if (value != nullptr && !value->is_object()) {
    refuse(key, "must be an object");
    return nullptr;
  }
  return value;
}

const json* JsonKeys::list(std::string_view key) {
  const json* value = find(key);
  if (value != nullptr && !value->is_array()) {
    refuse(key, "must be a list");
    return nullptr;
  }
  return value;
}

std::int64_t JsonKeys::required_integer(std::string_view key, std::int64_t most) {
  const bool is_there = has(key);
  const auto value = integer(key, 1, most);
  if (!is_there)
    refuse(key, "must be given (transformers would take its class default, which is hardly this model's)");
  return value.value_or(1);
}

std::vector<std::string> JsonKeys::unread() const {
  std::vector<std::string> keys;
  for (const auto& item : object_.items())
    if (read_.count(item.key()) == 0) keys.push_back(path_ + item.key());
  return keys;
}

}  // namespace switchyard::app
