// The keys of one JSON object from a stranger: each is read once, by kind, and what nobody read is known.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard::app {

/// Everything found wrong, one line each: "PATH: rule; got VALUE".
using Refusals = std::vector<std::string>;

/// Reading never throws: a value of the wrong kind or out of range becomes a refusal and is then taken for
/// absent. A null counts as absent, except for is_null().
class JsonKeys {
 public:
  /// `object` and `refusals` must outlive this. `path` stands before each key in messages ("rope_scaling.").
  JsonKeys(const nlohmann::json& object, std::string path, Refusals& refusals);

  /// Present and not null.
  bool has(std::string_view key);
  bool is_null(std::string_view key);

  std::optional<std::int64_t> integer(std::string_view key, std::int64_t least = 1,
                                      std::int64_t most = kMostInteger);
  std::optional<double> number(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::string> text(std::string_view key);
  /// An inner object; null unless present.
  const nlohmann::json* object(std::string_view key);
  const nlohmann::json* list(std::string_view key);

  /// Absent is a refusal, and 1 is returned so that reading can go on.
  std::int64_t required_integer(std::string_view key, std::int64_t most = kMostInteger);

  /// Marks as read: its value does not matter.
  void ignore(std::string_view key) { read_.emplace(key); }
  void refuse(std::string_view key, std::string_view rule);
  /// Full paths of the keys that no call has asked for.
  std::vector<std::string> unread() const;

  static constexpr std::int64_t kMostInteger = 2'147'483'647;

 private:
  /// Null unless present and not null.
  const nlohmann::json* find(std::string_view key);

  const nlohmann::json& object_;
  std::string path_;
  Refusals& refusals_;
  std::set<std::string, std::less<>> read_;
};

/// `value` as text of at most 80 characters, for messages.
std::string shortened(const nlohmann::json& value);

}  // namespace switchyard::app
