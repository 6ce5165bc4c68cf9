#include "app/config/table/write.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "app/config/load.h"
#include "app/config/table/option.h"

namespace switchyard::app {
namespace {

void expect_round_trip(const Config& config) {
  const std::string text = config_yaml(config);
  const Config again = parse_config(text, "written.yaml");
  EXPECT_EQ(differences_text(config, again), "") << text;
  EXPECT_EQ(config_yaml(again), text);
}

TEST(ConfigYaml, LoadsBackToTheSameConfig) {
  for (const auto& entry : std::filesystem::directory_iterator(SWITCHYARD_SOURCE_DIR "/configs"))
    if (entry.path().extension() == ".yaml") expect_round_trip(load_config(entry.path()));
}

TEST(ConfigYaml, KeepsEveryAwkwardValue) {
  const std::vector<std::string> paths = {"a b",  "null",       "~",    "true",   "1e3",    "# no comment",
                                          "a: b", "\"quoted\"", "\\",   "ü/日本", "- x",    "*a",
                                          "&a",   "!x",         "%x",   "'",      "{",      "[x]",
                                          "yes",  "017",        "a #b", " lead",  "trail ", "<<"};
  for (const auto& path : paths) {
    const Config config =
        parse_config("data: {train: d}\n", "run.yaml", {"data.train=" + path, "data.validation=" + path});
    EXPECT_EQ(config.data.train, path);
    expect_round_trip(config);
  }
  expect_round_trip(
      parse_config("data: {train: d}\n", "run.yaml",
                   {"run.name=1e3", "run.seed=9223372036854775807", "run.max_time=1d1s",
                    "optimizer.learning_rate=0.1234567890123456789", "optimizer.epsilon=4.9e-324",
                    "model.rope_theta=1e12", "optimizer.clip_norm=33333333.333333333"}));
  const std::vector<std::string> moe = {"model.moe.experts=4", "model.moe.expert_width=8"};
  for (const char* list :
       {"model.moe.dense_layers=[]", "model.moe.dense_layers=2", "model.moe.dense_layers=[0, 2]",
        "model.sliding_window=[8, 0, 8, 0, 8, 0]", "model.sliding_window=7"})
    expect_round_trip(parse_config("data: {train: d}\n", "run.yaml", {moe[0], moe[1], list}));
}

TEST(ConfigYaml, HasEveryKeyOnce) {
  const std::string text = config_yaml(parse_config("data: {train: d}\n", "run.yaml"));
  std::size_t lines = 0;
  for (const char letter : text) lines += letter == '\n' ? 1 : 0;
  EXPECT_EQ(lines, options().size() + sections().size());
}

TEST(ConfigYaml, HeaderStaysAComment) {
  const std::vector<std::string> header = {"version 1\nrun: {seed: 9}", "second"};
  const Config config = parse_config("data: {train: d}\n", "run.yaml");
  const std::string text = config_yaml(config, header);
  EXPECT_TRUE(text.starts_with("# version 1 run: {seed: 9}\n# second\nrun:\n")) << text;
  EXPECT_TRUE(differences(config, parse_config(text, "written.yaml")).empty());
}

TEST(Differences, NameKeyAndBothValues) {
  const Config before = parse_config("data: {train: d}\n", "run.yaml");
  const Config after =
      parse_config("data: {train: d}\n", "run.yaml", {"train.steps=5", "model.qk_norm=per_head"});
  EXPECT_EQ(differences_text(before, after), "model.qk_norm: none -> per_head\ntrain.steps: 1000 -> 5\n");
}

}  // namespace
}  // namespace switchyard::app
