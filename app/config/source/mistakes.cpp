#include "app/config/source/mistakes.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/terminal/format.h"

namespace switchyard::app {

namespace {

std::vector<Mistake> sorted(std::vector<Mistake> mistakes) {
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.place < b.place; });
  return mistakes;
}

std::string all_lines(const std::string& source, const std::vector<Mistake>& mistakes) {
  constexpr std::size_t kShown = 50;
  std::string text;
  for (std::size_t i = 0; i < std::min(mistakes.size(), kShown); ++i) {
    if (i > 0) text += '\n';
    text += mistake_line(source, mistakes[i]);
  }
  if (mistakes.size() > kShown) text += fmt::format("\nand {} more mistakes", mistakes.size() - kShown);
  return text;
}

}  // namespace

std::string mistake_line(const std::string& source, const Mistake& mistake) {
  std::string text;
  if (mistake.place.override_index > 0) {
    text = fmt::format("--set #{}", mistake.place.override_index);
  } else if (mistake.place.line > 0) {
    text = fmt::format("{}:{}:{}", source, mistake.place.line, mistake.place.column);
  } else {
    text = source;
  }
  if (!mistake.key.empty()) text += fmt::format(": {}", printable(mistake.key, 100));
  text += fmt::format(": {}", mistake.rule);
  if (!mistake.got.empty()) text += fmt::format("; got {}", mistake.got);
  if (!mistake.hint.empty()) text += fmt::format("; {}", mistake.hint);
  return text;
}

ConfigError::ConfigError(const std::string& source, std::vector<Mistake> mistakes)
    : UserError(all_lines(source, sorted(mistakes))), mistakes_(sorted(std::move(mistakes))) {}

}  // namespace switchyard::app
