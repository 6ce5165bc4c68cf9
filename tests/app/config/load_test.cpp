#include "app/config/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "app/config/source/mistakes.h"
#include "app/config/table/option.h"

namespace switchyard::app {
namespace {

constexpr std::string_view kLeast = "data: {train: d}\n";

/// All mistakes as text; fails if there are none.
std::string mistakes_of(std::string_view text, const std::vector<std::string>& overrides = {}) {
  try {
    parse_config(text, "run.yaml", overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  ADD_FAILURE() << "was accepted: " << text;
  return "";
}

TEST(LoadConfig, GivesDefaultsAndDerivedValues) {
  const Config config = parse_config(kLeast, "run.yaml");
  EXPECT_EQ(config.data.train, "d");
  EXPECT_EQ(config.run.directory, "runs/run");
  EXPECT_EQ(config.model.vocab_size, 0);
  EXPECT_EQ(config.model.kv_heads, config.model.heads);
  EXPECT_EQ(config.model.max_sequence_length, config.data.sequence_length);
  EXPECT_EQ(config.optimizer.beta2, 0.95);
}

TEST(LoadConfig, ReadsEverySpelling) {
  const Config config = parse_config(
      "run: {name: 7, seed: 0x10, max_time: 1h30m, device: cpu}\n"
      "model:\n"
      "  layers: 3\n"
      "  moe: {experts: 8, expert_width: [0, 16, 1_6], first_dense_layers: 1, score: sigmoid}\n"
      "data: {train: \"with space\", sequence_length: &length 64}\n"
      "train: {steps: 2k, global_batch: 1e1, micro_batch: 5}\n"
      "optimizer: {learning_rate: 1_0e-3, schedule: {kind: wsd}}\n"
      "checkpoint:\n",
      "run.yaml");
  EXPECT_EQ(config.run.name, "7");
  EXPECT_EQ(config.run.seed, 16);
  EXPECT_EQ(config.run.max_time_seconds, 5400);
  EXPECT_EQ(config.run.device, DeviceChoice::cpu);
  EXPECT_EQ(config.model.moe.expert_width, (std::vector<std::int64_t>{0, 16, 16}));
  EXPECT_EQ(config.model.moe.score, moe::RouterScore::sigmoid);
  EXPECT_EQ(config.data.train, "with space");
  EXPECT_EQ(config.train.steps, 2000);
  EXPECT_EQ(config.train.global_batch, 10);
  EXPECT_EQ(config.optimizer.learning_rate, 1e-2);
  EXPECT_EQ(config.optimizer.schedule.kind, moe::ScheduleKind::wsd);
}

TEST(LoadConfig, TakesAliasesForValues) {
  const Config config =
      parse_config("model: {width: &w 128}\ndata: {train: d, sequence_length: *w}\n", "run.yaml");
  EXPECT_EQ(config.data.sequence_length, 128);
}

TEST(LoadConfig, TakesEveryKeysDefaultAsWritten) {
  const Config before = parse_config(kLeast, "run.yaml");
  for (const Option& option : options()) {
    const std::string value = value_text(option, default_config());
    if (value == "\"\"") continue;  // texts: shown quoted, and empty means another key decides
    const std::vector<std::string> set = {"model.moe.experts=0", std::string(option.path) + "=" + value};
    EXPECT_EQ(differences(before, parse_config(kLeast, "run.yaml", set)).size(), 0U) << option.path;
  }
}

TEST(LoadConfig, AnyOtherValueChangesThatKeyAlone) {
  const std::pair<const char*, const char*> cases[] = {{"run.name", "other"},
                                                       {"run.threads", "3"},
                                                       {"data.prefetch", "9"},
                                                       {"train.log_every", "7"},
                                                       {"train.recompute", "block"},
                                                       {"optimizer.beta1", "0.5"},
                                                       {"optimizer.schedule.kind", "linear"},
                                                       {"model.rope_theta", "500000"},
                                                       {"model.tied_head", "true"},
                                                       {"checkpoint.background", "false"},
                                                       {"metrics.per_expert", "false"}};
  const Config before = parse_config(kLeast, "run.yaml", {"run.directory=x"});
  for (const auto& [key, value] : cases) {
    const auto changed = differences(
        before, parse_config(kLeast, "run.yaml", {"run.directory=x", std::string(key) + "=" + value}));
    ASSERT_EQ(changed.size(), 1U) << key;
    EXPECT_EQ(changed[0].option->path, key);
    EXPECT_EQ(changed[0].after, value);
  }
}

TEST(LoadConfig, ReportsAllMistakesSortedByPlace) {
  const std::string text =
      mistakes_of("train: {steps: 0}\nmodel:\n  haeds: 2\n  width: x\n", {"run.seed=-1", "nokey"});
  EXPECT_EQ(text,
            "run.yaml:1:1: data.train: must be given; got nothing; add the key: folder written by "
            "`switchyard prepare`\n"
            "run.yaml:1:16: train.steps: must be at least 1; got 0\n"
            "run.yaml:3:3: model.haeds: is not a key of any section; did you mean heads?\n"
            "run.yaml:4:10: model.width: must be a whole number; got x\n"
            "--set #1: run.seed: must be at least 0; got -1\n"
            "--set #2: must be section.key=value; got nokey");
}

TEST(LoadConfig, ShowsAtMostFiftyMistakes) {
  std::string file(kLeast);
  file += "run:\n";
  for (int i = 0; i < 1000; ++i) file += "  wrong" + std::to_string(i) + ": 1\n";
  const std::string text = mistakes_of(file);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 50);
  EXPECT_NE(text.find("and 950 more mistakes"), std::string::npos);
}

TEST(LoadConfig, ARuleIsSilentWhereAKeyItReadsIsWrongAlready) {
  // heads is misspelt, so "heads divides width" would only report a consequence.
  const std::string text = mistakes_of("model: {width: 30, haeds: 3}\ndata: {train: d}\n");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 0) << text;
}

TEST(LoadConfig, DoesNotLetTextSteerTheTerminal) {
  const std::string text = mistakes_of("run: {\"a\\e[31m\": 1, name: \"\\e[2J\"}\ndata: {train: d}\n");
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("\\x1b"), std::string::npos);
}

TEST(Overrides, WinOverTheFileAndTheLastOneWins) {
  const Config config =
      parse_config("train: {steps: 5}\ndata: {train: d}\n", "run.yaml",
                   {"train.steps=6", "train.steps=7", "data.train=a=b c", "model.moe.experts=4",
                    "model.moe.expert_width=[8,8,8,8,8,8]", "data.validation="});
  EXPECT_EQ(config.train.steps, 7);
  EXPECT_EQ(config.data.train, "a=b c");
  EXPECT_EQ(config.model.moe.expert_width.size(), 6U);
}

TEST(Overrides, MeetTheSameChecksAndAreNamedByNumber) {
  const std::pair<const char*, const char*> cases[] = {
      {"train.steps=0", "--set #1: train.steps: must be at least 1; got 0"},
      {"train.stesp=4", "--set #1: train.stesp: is not a key of any section; did you mean train.steps?"},
      {"steps=4", "--set #1: steps: is not a key of any section; did you mean train.steps?"},
      {"trian.steps=4", "--set #1: trian.steps: is not a key of any section; did you mean train.steps?"},
      {"model=4", "--set #1: model: is a section and takes no value"},
      {"train.steps=", "--set #1: train.steps: must have a value"},
      {"train.steps=017", "did you mean 17?"},
      {"run.name=a b", "--set #1: run.name: must start with"},
      {"model.moe.expert_width=[8", "--set #1: model.moe.expert_width: must be valid YAML"},
      {"model.moe.expert_width=[a]",
       "--set #1: model.moe.expert_width: must be a whole number (value 1 of the list)"},
      {"model.heads=3", "--set #1: model.heads: must divide model.width"},
      {"=4", "--set #1: is not a key of any section"}};
  for (const auto& [override, expected] : cases)
    EXPECT_NE(mistakes_of(kLeast, {override}).find(expected), std::string::npos)
        << override << "\n"
        << mistakes_of(kLeast, {override});
}

TEST(LoadConfig, SaysWhyAFileCannotBeRead) {
  const auto message = [](const char* path) -> std::string {
    try {
      load_config(path);
    } catch (const UserError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message("/no/such/file.yaml"),
            "/no/such/file.yaml: the configuration file must be readable; got: No such file or directory; "
            "check the path");
  EXPECT_NE(message("/").find("Is a directory"), std::string::npos);
  EXPECT_NE(message("/dev/zero").find("at most 1.0 MiB"), std::string::npos) << message("/dev/zero");
}

TEST(ShippedConfigs, LoadWithoutAMistake) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SWITCHYARD_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++count;
    EXPECT_NO_THROW({
      const Config config = load_config(entry.path());
      EXPECT_EQ(config.run.name, entry.path().stem().string());
    }) << entry.path();
  }
  EXPECT_GE(count, 4);
}

}  // namespace
}  // namespace switchyard::app
