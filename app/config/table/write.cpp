#include "app/config/table/write.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/config/table/option.h"

namespace switchyard::app {

namespace {

void write_section(std::string& text, const Section& section, const Config& config) {
  const auto depth = static_cast<std::size_t>(std::ranges::count(section.path, '.'));
  const std::string indent(2 * depth, ' ');
  text += fmt::format("{}{}:\n", indent, last_name(section.path));
  for (const Option* option : options_of(section.path))
    text += fmt::format("{}  {}: {}\n", indent, last_name(option->path), value_text(*option, config));
}

}  // namespace

std::string config_yaml(const Config& config, std::span<const std::string> header) {
  std::string text;
  for (std::string line : header) {
    std::ranges::replace_if(
        line, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
    text += fmt::format("# {}\n", line);
  }
  // The section list has every inner section right after its outer one, as nesting needs.
  for (const Section& section : sections()) write_section(text, section, config);
  return text;
}

std::string section_yaml(const Config& config, std::string_view section) {
  std::string text;
  for (const Section& one : sections())
    if (one.path == section || parent_path(one.path) == section) write_section(text, one, config);
  return text;
}

std::string differences_text(const Config& before, const Config& after) {
  std::string text;
  for (const Difference& difference : differences(before, after))
    text += fmt::format("{}: {} -> {}\n", difference.option->path, difference.before, difference.after);
  return text;
}

}  // namespace switchyard::app
