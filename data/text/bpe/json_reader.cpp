#include "data/text/bpe/json_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "data/text/utf8.h"
#include "kernels/runtime/error.h"

namespace switchyard::data {

namespace {

constexpr std::size_t kShownBytes = 60;

std::string shown(const nlohmann::json& value) {
  if (value.is_object()) return fmt::format("an object of {} keys", value.size());
  if (value.is_array()) return fmt::format("an array of {}", value.size());
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + "...";
  return text;
}

}  // namespace

void JsonPlace::refuse(std::string_view rule) const {
  throw DataError(fmt::format("{}: {}; got {}", path_, rule, shown(*value_)));
}

void JsonPlace::require_keys(std::initializer_list<const char*> known) const {
  if (!value_->is_object()) refuse("must be an object");
  for (const auto& item : value_->items()) {
    const std::string& key = item.key();
    const bool is_known =
        std::any_of(known.begin(), known.end(), [&](const char* name) { return key == name; });
    if (!is_known)
      JsonPlace(item.value(), path_)
          .refuse(fmt::format("the key {} is not known, and might change ids; known: {}", shown(key),
                              fmt::join(known, ", ")));
  }
}

JsonPlace JsonPlace::at(const char* key) const {
  if (!value_->is_object()) refuse("must be an object");
  const auto found = value_->find(key);
  if (found == value_->end()) refuse(fmt::format("must have the key '{}'", key));
  return {*found, fmt::format("{}.{}", path_, key)};
}

JsonPlace JsonPlace::at(std::size_t index) const {
  return {(*value_)[index], fmt::format("{}[{}]", path_, index)};
}

void JsonPlace::require_array() const {
  if (!value_->is_array()) refuse("must be an array");
}

bool JsonPlace::boolean() const {
  if (!value_->is_boolean()) refuse("must be true or false");
  return value_->get<bool>();
}

bool JsonPlace::boolean_or(const char* key, bool otherwise) const {
  if (!has(key) || at(key).is_null()) return otherwise;
  return at(key).boolean();
}

const std::string& JsonPlace::text() const {
  if (!value_->is_string()) refuse("must be a string");
  return value_->get_ref<const std::string&>();
}

std::int64_t JsonPlace::integer_below(std::int64_t limit) const {
  const bool fits =
      value_->is_number_unsigned() && value_->get<std::uint64_t>() < static_cast<std::uint64_t>(limit);
  if (!fits) refuse(fmt::format("must be a whole number from 0 to {}", limit - 1));
  return value_->get<std::int64_t>();
}

}  // namespace switchyard::data
