// A value in a JSON document from strangers, with the path that leads to it: every refusal names the path.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace switchyard::data {

class JsonPlace {
 public:
  JsonPlace(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  bool is_null() const { return value_->is_null(); }

  /// Throws DataError "PATH: RULE; got VALUE", the value cut short.
  [[noreturn]] void refuse(std::string_view rule) const;

  /// Refuses anything but an object with no keys besides these.
  void require_keys(std::initializer_list<const char*> known) const;
  bool has(const char* key) const { return value_->contains(key); }
  /// The member of an object; refused if it is missing.
  JsonPlace at(const char* key) const;
  /// The element of an array, index below size().
  JsonPlace at(std::size_t index) const;
  std::size_t size() const { return value_->size(); }
  void require_array() const;

  bool boolean() const;
  /// The member of that name, or `otherwise` where it is missing or null.
  bool boolean_or(const char* key, bool otherwise) const;
  const std::string& text() const;
  /// In [0, limit).
  std::int64_t integer_below(std::int64_t limit) const;

 private:
  const nlohmann::json* value_;
  std::string path_;
};

}  // namespace switchyard::data
