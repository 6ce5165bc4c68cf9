// Help, JSON Schema and reference page hold every key of the table, and the page in the tree is not stale.
#include "app/config/table/describe.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "app/config/table/option.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

using Json = nlohmann::ordered_json;

const Json* find_in_schema(const Json& schema, std::string_view path) {
  const Json* at = &schema;
  while (!path.empty()) {
    const std::string name(path.substr(0, path.find('.')));
    path.remove_prefix(std::min(name.size() + 1, path.size()));
    if (!at->contains("properties") || !(*at)["properties"].contains(name)) return nullptr;
    at = &(*at)["properties"][name];
  }
  return at;
}

/// Number of values (not sections) in a schema; every section must refuse other keys.
std::size_t count_values(const Json& schema) {
  if (!schema.contains("properties")) return 1;
  EXPECT_EQ(schema.value("additionalProperties", true), false) << schema.dump();
  EXPECT_EQ(schema["type"], "object");
  std::size_t count = 0;
  for (const auto& [name, value] : schema["properties"].items()) count += count_values(value);
  return count;
}

TEST(OptionTable, IsCompleteAndWellFormed) {
  std::set<std::string_view> paths;
  for (const Option& option : options()) {
    EXPECT_TRUE(paths.insert(option.path).second) << option.path;
    EXPECT_NE(find_section(parent_path(option.path)), nullptr) << option.path;
    EXPECT_FALSE(option.doc.empty()) << option.path;
    EXPECT_LE(option.doc.size(), 75U) << option.path;
    EXPECT_EQ(find_option(option.path), &option);
  }
  EXPECT_EQ(options().size(), run_options().size() + model_options().size() + guard_options().size() +
                                  watchdog_options().size());
}

TEST(Schema, IsDraft7AndHoldsEveryKey) {
  const Json schema = config_schema();
  EXPECT_EQ(schema["$schema"], "http://json-schema.org/draft-07/schema#");
  EXPECT_EQ(count_values(schema), options().size());
  for (const Option& option : options()) {
    const Json* value = find_in_schema(schema, option.path);
    ASSERT_NE(value, nullptr) << option.path;
    EXPECT_TRUE(value->contains("description")) << option.path;
    const bool constrained = value->contains("type") || value->contains("enum") || value->contains("anyOf");
    EXPECT_TRUE(constrained) << option.path;
  }
}

TEST(Schema, CarriesDefaultsRangesAndWords) {
  const Json schema = config_schema();
  EXPECT_EQ((*find_in_schema(schema, "model.layers"))["maximum"], 10000);
  EXPECT_EQ((*find_in_schema(schema, "model.layers"))["default"], 6);
  EXPECT_EQ((*find_in_schema(schema, "optimizer.beta1"))["exclusiveMaximum"], 1.0);
  EXPECT_EQ((*find_in_schema(schema, "optimizer.schedule.kind"))["enum"],
            Json::parse(R"(["constant","linear","cosine","wsd"])"));
  EXPECT_EQ((*find_in_schema(schema, "run.max_time"))["default"], 0);
  EXPECT_EQ((*find_in_schema(schema, "data"))["required"], Json::parse(R"(["train"])"));
  EXPECT_EQ(schema["required"], Json::parse(R"(["data"])"));
}

TEST(Help, EverySectionFitsAScreenAndHoldsItsKeys) {
  std::set<std::string> shown;
  for (const Section& section : sections()) {
    const std::string text = config_help(section.path);
    std::istringstream lines(text);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 100U) << line;
    EXPECT_LE(count, 40) << section.path;
    // Lines are wrapped; the range must be there in one piece once they are joined.
    std::istringstream words(text);
    std::string joined;
    for (std::string word; words >> word;) joined += (joined.empty() ? "" : " ") + word;
    for (const Option* option : options_of(section.path)) {
      EXPECT_NE(text.find("\n  " + std::string(last_name(option->path)) + " "), std::string::npos)
          << option->path;
      EXPECT_NE(joined.find("[" + range_text(*option) + "]"), std::string::npos) << option->path;
    }
    EXPECT_NE(config_help().find("  " + std::string(section.path) + " "), std::string::npos);
  }
  EXPECT_NE(config_help("train").find("micro_batch           4 "), std::string::npos) << config_help("train");
}

TEST(Help, SuggestsASection) {
  try {
    config_help("optimiser");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean optimizer?"), std::string::npos);
  }
}

TEST(ReferencePage, InTheTreeIsCurrent) {
  std::ifstream stream(SWITCHYARD_SOURCE_DIR "/configs/REFERENCE.md");
  std::stringstream text;
  text << stream.rdbuf();
  EXPECT_EQ(text.str(), reference_page())
      << "write it again: switchyard schema --markdown > configs/REFERENCE.md";
}

}  // namespace
}  // namespace switchyard::app
