#include "app/hugging_face/import/continue_yaml.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/config/table/write.h"

namespace switchyard::app {

namespace {

bool is_name_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

}  // namespace

std::string run_name(const std::filesystem::path& path) {
  const auto normal = std::filesystem::absolute(path).lexically_normal();
  std::string name = (normal.has_filename() ? normal : normal.parent_path()).filename().string();
  std::ranges::replace_if(
      name, [](char c) { return !is_name_letter(c); }, '-');
  while (!name.empty() && (name.front() == '.' || name.front() == '_' || name.front() == '-'))
    name.erase(0, 1);
  return name.empty() ? "imported" : name;
}

std::string continue_yaml(const Config& config, const std::filesystem::path& imported) {
  std::string text = fmt::format(
      "# Goes on training what was imported: copy it, fill in the data, then `switchyard train COPY`.\n"
      "run:\n"
      "  name: {}-continued\n"
      "data:\n"
      "  train: {}                # a folder made by `switchyard prepare` with the model's tokenizer\n"
      "  sequence_length: {}\n"
      "train:\n"
      "  init_from: {}\n",
      config.run.name, config.data.train, config.data.sequence_length,
      nlohmann::json(imported.string()).dump());
  return text + section_yaml(config, "model");
}

}  // namespace switchyard::app
