#include "data/checkpoint/format/names.h"

#include <fmt/format.h>

#include <charconv>

#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {
constexpr std::string_view kStepPrefix = "step-";
constexpr std::size_t kMaxComponent = 64;
}  // namespace

std::string step_folder_name(std::int64_t step) {
  SWITCHYARD_CHECK(step >= 0, "a step is not negative; got {}", step);
  return fmt::format("{}{:08}", kStepPrefix, step);
}

std::optional<std::int64_t> parse_step_folder_name(std::string_view name) {
  if (name.substr(0, kStepPrefix.size()) != kStepPrefix) return {};
  const std::string_view digits = name.substr(kStepPrefix.size());
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return {};
  std::int64_t step = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  // Spelling it again refuses every second spelling of the same number.
  if (result.ec != std::errc() || step_folder_name(step) != name) return {};
  return step;
}

std::string part_file_name(int index) {
  return fmt::format("part-{:05}.safetensors", index);
}

std::string name_component(std::string_view text) {
  std::string name(text.substr(0, kMaxComponent));
  for (char& c : name) {
    const bool is_kept =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!is_kept) c = '_';
  }
  return name;
}

}  // namespace switchyard::data
