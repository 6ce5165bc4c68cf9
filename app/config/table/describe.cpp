#include "app/config/table/describe.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/config/table/option.h"
#include "app/terminal/suggest.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

std::string default_text(const Option& option) {
  const Text* text = std::get_if<Text>(&option.kind);
  return text != nullptr && text->required ? "(required)" : value_text(option, default_config());
}

std::string meaning(const Option& option) {
  return option.unit.empty() ? std::string(option.doc) : fmt::format("{}: {}", option.unit, option.doc);
}

std::string section_list() {
  std::string text = "Sections of a configuration file:\n\n";
  for (const Section& section : sections()) text += fmt::format("  {:<20}{}\n", section.path, section.doc);
  return text +
         "\nKeys of one section:   switchyard help config SECTION\n"
         "Another value:         --set section.key=value (of two, the later wins)\n"
         "Check in an editor:    switchyard schema > switchyard.schema.json\n"
         "All keys on one page:  configs/REFERENCE.md\n";
}

/// Splits at spaces into lines of at most `width` bytes.
std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::size_t length = std::min(text.find(' '), text.size());
    if (!lines.back().empty() && lines.back().size() + 1 + length > width) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return lines;
}

nlohmann::ordered_json schema_of(const Integer& kind) {
  nlohmann::ordered_json integer = {{"type", "integer"}, {"minimum", kind.least}};
  if (kind.most != kAnyInteger) integer["maximum"] = kind.most;
  if (!kind.suffixes) return integer;
  const nlohmann::ordered_json suffixed = {{"type", "string"}, {"pattern", "^[0-9]+(\\.[0-9]+)?[kMG]$"}};
  return {{"anyOf", nlohmann::ordered_json::array({integer, suffixed})}};
}

nlohmann::ordered_json schema_of(const Duration& /*kind*/) {
  const nlohmann::ordered_json zero = {{"const", 0}};
  const nlohmann::ordered_json text = {{"type", "string"},
                                       {"pattern", "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"}};
  return {{"anyOf", nlohmann::ordered_json::array({zero, text})}};
}

nlohmann::ordered_json schema_of(const Real& kind) {
  nlohmann::ordered_json real = {{"type", "number"}};
  real[kind.above_least ? "exclusiveMinimum" : "minimum"] = kind.least;
  real[kind.below_most ? "exclusiveMaximum" : "maximum"] = kind.most;
  return real;
}

nlohmann::ordered_json schema_of(const Boolean& /*kind*/) {
  return {{"type", "boolean"}};
}

nlohmann::ordered_json schema_of(const Text& kind) {
  nlohmann::ordered_json text = {{"type", "string"}};
  if (kind.form == TextForm::name) text["pattern"] = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$";
  if (kind.required) text["minLength"] = 1;
  return text;
}

nlohmann::ordered_json schema_of(const IntegerList& kind) {
  const nlohmann::ordered_json one = {{"type", "integer"}, {"minimum", kind.least}, {"maximum", kind.most}};
  const nlohmann::ordered_json list = {
      {"type", "array"}, {"items", one}, {"minItems", kind.may_be_empty ? 0 : 1}};
  return {{"anyOf", nlohmann::ordered_json::array({one, list})}};
}

nlohmann::ordered_json schema_of(const Choice& kind) {
  auto names = nlohmann::ordered_json::array();
  for (const auto name : kind.names) names.push_back(std::string(name));
  return {{"enum", names}};
}

/// The default as JSON: numbers and truth values as such, all else as text.
nlohmann::ordered_json default_json(const Option& option) {
  const std::string text = value_text(option, default_config());
  const bool is_word =
      std::holds_alternative<Choice>(option.kind) || std::holds_alternative<Text>(option.kind);
  if (is_word) return text == "\"\"" ? nlohmann::ordered_json("") : nlohmann::ordered_json(text);
  // A length of time is a word, unless it is 0.
  if (std::holds_alternative<Duration>(option.kind) && text != "0") return text;
  return nlohmann::ordered_json::parse(text);
}

nlohmann::ordered_json section_schema(std::string_view path, std::string_view doc) {
  nlohmann::ordered_json schema = {{"description", doc}, {"type", "object"}, {"additionalProperties", false}};
  auto& properties = schema["properties"] = nlohmann::ordered_json::object();
  auto required = nlohmann::ordered_json::array();
  for (const Option* option : options_of(path)) {
    auto value = std::visit([](const auto& kind) { return schema_of(kind); }, option->kind);
    const Text* text = std::get_if<Text>(&option->kind);
    const bool is_required = text != nullptr && text->required;
    if (!is_required) value["default"] = default_json(*option);
    if (is_required) required.push_back(std::string(last_name(option->path)));
    value["description"] = fmt::format("{} [{}]", meaning(*option), range_text(*option));
    properties[std::string(last_name(option->path))] = std::move(value);
  }
  for (const Section& inner : sections()) {
    if (parent_path(inner.path) != path) continue;
    auto inner_schema = section_schema(inner.path, inner.doc);
    if (inner_schema.contains("required")) required.push_back(std::string(last_name(inner.path)));
    properties[std::string(last_name(inner.path))] = std::move(inner_schema);
  }
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

/// '|' would end a cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string result;
  for (const char letter : text) {
    if (letter == '|') result += '\\';
    result += letter;
  }
  return result;
}

}  // namespace

std::string config_help(std::string_view section) {
  if (section.empty()) return section_list();
  const Section* found = find_section(section);
  if (found == nullptr) {
    std::vector<std::string> names;
    for (const Section& known : sections()) names.emplace_back(known.path);
    const auto nearest = nearest_name(section, names);
    throw UserError(
        fmt::format("help config: there is no section {}; {}", section,
                    nearest ? fmt::format("did you mean {}?", *nearest) : "see `switchyard help config`"));
  }
  constexpr std::size_t kColumns = 100;
  constexpr std::size_t kMeaningAt = 38;
  std::string text = fmt::format("{}: {}\n\n  {:<22}{:<14}{}\n", found->path, found->doc, "key", "default",
                                 "meaning [range]");
  for (const Option* option : options_of(section)) {
    const std::string start = fmt::format("  {:<22}{:<14}", last_name(option->path), default_text(*option));
    const auto lines =
        wrapped(fmt::format("{} [{}]", meaning(*option), range_text(*option)), kColumns - start.size());
    text += start + lines[0] + "\n";
    for (std::size_t i = 1; i < lines.size(); ++i) text += std::string(kMeaningAt, ' ') + lines[i] + "\n";
  }
  for (const Section& inner : sections())
    if (parent_path(inner.path) == section)
      text += fmt::format("\nMore: switchyard help config {}\n", inner.path);
  return text;
}

nlohmann::ordered_json config_schema() {
  nlohmann::ordered_json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"},
                                   {"title", "Switchyard configuration"}};
  schema.update(section_schema("", "one training run of a sparse mixture-of-experts model"));
  return schema;
}

std::string reference_page() {
  std::string text =
      "# Configuration reference\n\n"
      "Written from the program's option table (`switchyard schema --markdown`); a test holds it to that "
      "table.\n\n"
      "- Whole numbers: `1000`, `1_000`, `1e3`; where the range says `k M G` also `512k`, `2M` (powers of "
      "1000).\n"
      "- Times: `90s`, `15m`, `2h`, `1d`, `1h30m`; `0` needs no unit.\n"
      "- `true` and `false` only. No leading zeros, `nan`, `inf`, tags, merge keys or second document.\n"
      "- Changing a key marked *result* makes it another experiment; the others change only how it is "
      "carried out.\n"
      "- `--set section.key=value` on the command line overrides the file.\n";
  for (const Section& section : sections()) {
    text += fmt::format(
        "\n## {}\n\n{}.\n\n| key | default | range | unit | meaning | change affects "
        "|\n|---|---|---|---|---|---|\n",
        section.path, section.doc);
    for (const Option* option : options_of(section.path))
      text += fmt::format("| `{}` | `{}` | {} | {} | {} | {} |\n", last_name(option->path),
                          default_text(*option), cell(range_text(*option)), option->unit, cell(option->doc),
                          option->effect == Effect::result ? "result" : "manner");
  }
  return text;
}

}  // namespace switchyard::app
