// The option table: every key of a configuration, once. The parser, the defaults, the ranges, the help, the
// JSON Schema, the reference page, the written config.yaml and the comparison of two configurations all read
// it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/config/config.h"

namespace switchyard::app {

inline constexpr std::int64_t kAnyInteger = std::numeric_limits<std::int64_t>::max();

struct Integer {
  std::int64_t& (*field)(Config&);
  std::int64_t least = 0;
  std::int64_t most = kAnyInteger;
  bool suffixes = false;  ///< k, M, G are understood (powers of 1000)
};
/// A length of time, held in seconds.
struct Duration {
  std::int64_t& (*field)(Config&);
  std::int64_t most = 366LL * 86400;
};
struct Real {
  double& (*field)(Config&);
  double least = 0;
  double most = 0;
  bool above_least = false;  ///< `least` itself is not allowed
  bool below_most = false;   ///< `most` itself is not allowed
};
struct Boolean {
  bool& (*field)(Config&);
};
enum class TextForm { name, path };
/// A name (letters, digits, '.', '_', '-'; starts with a letter or digit) or a path of the file system.
struct Text {
  std::string& (*field)(Config&);
  TextForm form;
  bool required = false;
};
/// One integer, or a list of them.
struct IntegerList {
  std::vector<std::int64_t>& (*field)(Config&);
  std::int64_t least = 0;
  std::int64_t most = kAnyInteger;
  bool may_be_empty = false;  ///< [] is a value
};
/// One of a few words; the index into `names` is the enumerator's value.
struct Choice {
  std::span<const std::string_view> names;
  std::size_t (*get)(Config&);
  void (*set)(Config&, std::size_t);
};

using OptionKind = std::variant<Integer, Duration, Real, Boolean, Text, IntegerList, Choice>;

/// What a change of the key does to a run that is resumed.
enum class Effect : std::uint8_t {
  result,  ///< another experiment: losses and weights differ
  manner,  ///< the same numbers, found or kept differently
};

struct Option {
  std::string_view path;  ///< "model.moe.top_k"
  OptionKind kind;
  std::string_view unit;  ///< "steps", "rows"; empty for pure numbers
  std::string_view doc;   ///< one line; says what 0 or empty means
  Effect effect = Effect::result;
};

struct Section {
  std::string_view path;  ///< "model", "model.moe"
  std::string_view doc;
};

/// All sections and all keys, in the order in which they are written and shown.
std::span<const Section> sections();
std::span<const Option> options();

const Section* find_section(std::string_view path);
const Option* find_option(std::string_view path);

/// The keys directly in a section ("model" gives model.layers but not model.moe.top_k).
std::vector<const Option*> options_of(std::string_view section);
/// Last part of a path: "top_k" of "model.moe.top_k".
std::string_view last_name(std::string_view path);
/// All but the last part of a path; empty for a top section.
std::string_view parent_path(std::string_view path);

/// Value of the key as the configuration language spells it, exactly: reading it gives the same value.
std::string value_text(const Option& option, const Config& config);
/// What the key takes, for people: "1..10000", "> 0", "fp32 | bf16", "time", "name".
std::string range_text(const Option& option);

/// A key whose value differs between two configurations, with both values as value_text spells them.
struct Difference {
  const Option* option;
  std::string before;
  std::string after;
};
std::vector<Difference> differences(const Config& before, const Config& after);

/// Parts of the table, one per file.
std::span<const Option> model_options();
std::span<const Option> run_options();
std::span<const Option> guard_options();
std::span<const Option> watchdog_options();

/// The field at a chain of members: field<&Config::train, &TrainConfig::steps>.
template <auto... members>
auto& field(Config& config) {
  return (config.*....*members);
}

template <auto... members>
Choice choice(std::span<const std::string_view> names) {
  using Enum = std::remove_reference_t<decltype(field<members...>(std::declval<Config&>()))>;
  return {names, [](Config& config) { return static_cast<std::size_t>(field<members...>(config)); },
          [](Config& config, std::size_t index) { field<members...>(config) = static_cast<Enum>(index); }};
}

}  // namespace switchyard::app
