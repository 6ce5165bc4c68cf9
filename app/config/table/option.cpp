#include "app/config/table/option.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "app/terminal/format.h"

namespace switchyard::app {

namespace {

constexpr Section kSections[] = {
    {"run", "what the run is called, where it lives, what it runs on"},
    {"model", "the shape of the network"},
    {"model.rope_scaling", "rotary positions for sequences longer than those first trained on"},
    {"model.moe", "experts and the router that chooses among them"},
    {"data", "what is learned from"},
    {"train", "how long, in what portions, at what precision"},
    {"optimizer", "how weights follow gradients"},
    {"optimizer.schedule", "how the learning rate moves"},
    {"parallel", "how the work is split over ranks"},
    {"checkpoint", "when states are saved and which are kept"},
    {"guard", "what is done about spikes and corrupted memory"},
    {"watchdog", "when a rank counts as hung or slow"},
    {"metrics", "what is recorded beside loss and speed"},
};

template <typename... Cases>
struct overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
overloaded(Cases...) -> overloaded<Cases...>;  // deduced by itself from clang 17 on

std::string list_text(const std::vector<std::int64_t>& values) {
  return values.size() == 1 ? fmt::format("{}", values[0]) : fmt::format("[{}]", fmt::join(values, ", "));
}

/// A double-quoted YAML scalar, or the text itself where no reader could take it for anything else.
std::string quoted_text(const std::string& text) {
  const auto plain = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '_' || letter == '-' || letter == '/' ||
           letter == '.';
  };
  static constexpr std::string_view kWords[] = {"null", "Null", "NULL", "true", "false", "yes",
                                                "no",   "on",   "off",  "y",    "n"};
  const bool letter_first =
      !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) != 0 || text[0] == '/');
  if (letter_first && std::all_of(text.begin(), text.end(), plain) &&
      std::ranges::find(kWords, text) == std::end(kWords))
    return text;
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += letter;
  }
  return result + "\"";
}

/// A bound as people write it: 1e12 instead of thirteen digits.
std::string bound_text(double bound) {
  const int exponent = static_cast<int>(std::lround(std::log10(std::max(bound, 1.0))));
  return exponent >= 7 && bound == std::pow(10.0, exponent) ? fmt::format("1e{}", exponent)
                                                            : fmt::format("{}", bound);
}

std::string integer_range(std::int64_t least, std::int64_t most) {
  return most == kAnyInteger ? fmt::format(">= {}", least)
                             : fmt::format("{}..{}", least, bound_text(static_cast<double>(most)));
}

std::string real_range(const Real& real) {
  return fmt::format("{} {}, {} {}", real.above_least ? ">" : ">=", real.least,
                     real.below_most ? "<" : "<=", bound_text(real.most));
}

}  // namespace

std::span<const Section> sections() {
  return kSections;
}

std::span<const Option> options() {
  // One list in the order of kSections.
  static const std::vector<Option> table = [] {
    std::vector<Option> all;
    for (const Section& section : kSections)
      for (const auto part : {run_options(), model_options(), guard_options(), watchdog_options()})
        for (const Option& option : part)
          if (parent_path(option.path) == section.path) all.push_back(option);
    return all;
  }();
  return table;
}

const Section* find_section(std::string_view path) {
  const auto found = std::ranges::find(kSections, path, &Section::path);
  return found == std::end(kSections) ? nullptr : &*found;
}

const Option* find_option(std::string_view path) {
  const auto all = options();
  const auto found = std::ranges::find(all, path, &Option::path);
  return found == all.end() ? nullptr : &*found;
}

std::vector<const Option*> options_of(std::string_view section) {
  std::vector<const Option*> result;
  for (const Option& option : options())
    if (parent_path(option.path) == section) result.push_back(&option);
  return result;
}

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

std::string_view parent_path(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view{} : path.substr(0, dot);
}

std::string value_text(const Option& option, const Config& config) {
  Config copy = config;  // the accessors give mutable fields
  return std::visit(
      overloaded{[&](const Integer& kind) { return fmt::format("{}", kind.field(copy)); },
                 [&](const Duration& kind) { return duration_text(kind.field(copy)); },
                 [&](const Real& kind) { return fmt::format("{}", kind.field(copy)); },
                 [&](const Boolean& kind) { return std::string(kind.field(copy) ? "true" : "false"); },
                 [&](const Text& kind) { return quoted_text(kind.field(copy)); },
                 [&](const IntegerList& kind) { return list_text(kind.field(copy)); },
                 [&](const Choice& kind) { return std::string(kind.names[kind.get(copy)]); }},
      option.kind);
}

std::string range_text(const Option& option) {
  return std::visit(
      overloaded{[](const Integer& kind) {
                   return integer_range(kind.least, kind.most) + (kind.suffixes ? ", k M G" : "");
                 },
                 [](const Duration&) { return std::string("time: 90s 15m 2h 1d"); },
                 [](const Real& kind) { return real_range(kind); },
                 [](const Boolean&) { return std::string("true | false"); },
                 [](const Text& kind) { return std::string(kind.form == TextForm::name ? "name" : "path"); },
                 [](const IntegerList& kind) { return integer_range(kind.least, kind.most) + ", or a list"; },
                 [](const Choice& kind) { return fmt::format("{}", fmt::join(kind.names, " | ")); }},
      option.kind);
}

std::vector<Difference> differences(const Config& before, const Config& after) {
  std::vector<Difference> result;
  for (const Option& option : options()) {
    Difference difference{&option, value_text(option, before), value_text(option, after)};
    if (difference.before != difference.after) result.push_back(std::move(difference));
  }
  return result;
}

}  // namespace switchyard::app
