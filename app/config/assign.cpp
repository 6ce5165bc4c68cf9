#include "app/config/assign.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "app/terminal/format.h"
#include "app/terminal/suggest.h"

namespace switchyard::app {

namespace {

using Kind = YamlNode::Kind;

/// Sets one option from a node. Returns the refusal, or nothing if the field was set.
class Assignment {
 public:
  Assignment(Config& config, const YamlNode& node) : config_(config), node_(node) {}

  std::optional<Refusal> operator()(const Integer& kind) {
    return number(parse(parse_integer(node_.text, kind.suffixes)), kind.field(config_), kind.least,
                  kind.most);
  }
  std::optional<Refusal> operator()(const Duration& kind) {
    auto parsed = parse(parse_duration(node_.text));
    if (auto* seconds = std::get_if<std::int64_t>(&parsed); seconds != nullptr && *seconds > kind.most)
      return Refusal{fmt::format("must be at most {}", duration_text(kind.most)), ""};
    return store(parsed, kind.field(config_));
  }
  std::optional<Refusal> operator()(const Real& kind) {
    auto parsed = parse(parse_real(node_.text));
    if (const double* value = std::get_if<double>(&parsed)) {
      const bool low = kind.above_least ? *value <= kind.least : *value < kind.least;
      const bool high = kind.below_most ? *value >= kind.most : *value > kind.most;
      if (low) return Refusal{fmt::format("must be {} {}", kind.above_least ? ">" : ">=", kind.least), ""};
      if (high) return Refusal{fmt::format("must be {} {}", kind.below_most ? "<" : "<=", kind.most), ""};
    }
    return store(parsed, kind.field(config_));
  }
  std::optional<Refusal> operator()(const Boolean& kind) {
    return store(parse(parse_boolean(node_.text)), kind.field(config_));
  }
  std::optional<Refusal> operator()(const Text& kind);
  std::optional<Refusal> operator()(const IntegerList& kind);
  std::optional<Refusal> operator()(const Choice& kind);

 private:
  /// A number or word in quotes is a text to every YAML reader; taking it for a number would hide a mistake.
  template <typename T>
  Parsed<T> parse(Parsed<T> parsed) const {
    if (node_.kind != Kind::scalar) return Refusal{"must be a single value", ""};
    if (node_.quoted && std::holds_alternative<T>(parsed))
      return Refusal{"must not be in quotes", "remove the quotes"};
    return parsed;
  }

  template <typename T>
  static std::optional<Refusal> store(const Parsed<T>& parsed, T& field) {
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
    field = std::get<T>(parsed);
    return std::nullopt;
  }

  static std::optional<Refusal> number(const Parsed<std::int64_t>& parsed, std::int64_t& field,
                                       std::int64_t least, std::int64_t most) {
    if (const auto* value = std::get_if<std::int64_t>(&parsed)) {
      if (*value < least) return Refusal{fmt::format("must be at least {}", least), ""};
      if (*value > most) return Refusal{fmt::format("must be at most {}", most), ""};
    }
    return store(parsed, field);
  }

  Config& config_;
  const YamlNode& node_;
};

bool is_control(char letter) {
  return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F;
}

std::optional<Refusal> Assignment::operator()(const Text& kind) {
  if (node_.kind != Kind::scalar) return Refusal{"must be a single text", ""};
  const std::string& text = node_.text;
  if (std::ranges::any_of(text, is_control)) return Refusal{"must not hold control characters", ""};
  if (kind.required && text.empty()) return Refusal{"must not be empty", ""};
  if (kind.form == TextForm::path) {
    constexpr std::size_t kLongestPath = 4000;  // Linux refuses paths from 4096 bytes on
    if (text.size() > kLongestPath) return Refusal{fmt::format("must be at most {} bytes", kLongestPath), ""};
  } else {
    const auto allowed = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
    };
    const bool starts_well = !text.empty() && std::isalnum(static_cast<unsigned char>(text[0])) != 0;
    if (!starts_well || !std::ranges::all_of(text, allowed) || text.size() > 100)
      return Refusal{
          "must start with a letter or digit and hold at most 100 letters, digits, '.', '_' or '-'", ""};
  }
  kind.field(config_) = text;
  return std::nullopt;
}

std::optional<Refusal> Assignment::operator()(const IntegerList& kind) {
  if (node_.kind == Kind::scalar) {
    std::int64_t value = 0;
    if (auto refusal = number(parse(parse_integer(node_.text)), value, kind.least, kind.most)) return refusal;
    kind.field(config_) = {value};
    return std::nullopt;
  }
  if (node_.kind != Kind::sequence || (node_.items.empty() && !kind.may_be_empty))
    return Refusal{"must be a whole number or a list of them", ""};
  std::vector<std::int64_t> values;
  for (const auto& item : node_.items) {
    std::int64_t value = 0;
    Assignment one(config_, *item);
    if (auto refusal = number(one.parse(parse_integer(item->text)), value, kind.least, kind.most)) {
      refusal->rule += fmt::format(" (value {} of the list)", values.size() + 1);
      return refusal;
    }
    values.push_back(value);
  }
  kind.field(config_) = std::move(values);
  return std::nullopt;
}

std::optional<Refusal> Assignment::operator()(const Choice& kind) {
  const auto found =
      node_.kind == Kind::scalar ? std::ranges::find(kind.names, node_.text) : kind.names.end();
  if (found != kind.names.end()) {
    kind.set(config_, static_cast<std::size_t>(found - kind.names.begin()));
    return std::nullopt;
  }
  const std::vector<std::string> names(kind.names.begin(), kind.names.end());
  Refusal refusal{fmt::format("must be {}", fmt::join(names, " or ")), ""};
  if (const auto nearest = nearest_name(node_.text, names))
    refusal.hint = fmt::format("did you mean {}?", *nearest);
  return refusal;
}

}  // namespace

std::optional<Refusal> assign(Config& config, const Option& option, const YamlNode& node) {
  return std::visit(Assignment(config, node), option.kind);
}

}  // namespace switchyard::app
