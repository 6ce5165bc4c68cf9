// Each file of configs/ trains, with the text and the sizes of a test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

TEST(Configs, EachTrainsTwoSteps) {
  const Workshop workshop;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SWITCHYARD_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++count;
    const std::string name = entry.path().stem().string();
    std::vector<std::string> words = {"train", entry.path().string()};
    for (const char* setting :
         {"data.train=data", "data.sequence_length=16", "train.steps=2", "train.global_batch=2",
          "train.micro_batch=1", "train.evaluate_every=1", "train.evaluate_batches=1", "model.layers=2",
          "model.width=96", "optimizer.schedule.warmup_steps=0", "parallel.expert=1", "run.threads=1"}) {
      words.emplace_back("--set");
      words.emplace_back(setting);
    }
    if (name == "moe_sigmoid") words.insert(words.end(), {"--set", "optimizer.schedule.decay_steps=1"});
    const Outcome outcome = workshop.run(words);
    EXPECT_EQ(outcome.code, 0) << name << ": " << outcome.err;
    workshop.expect_steps_once(name, 2);
    EXPECT_EQ(workshop.evaluations(name).size(), 2U) << name;
  }
  EXPECT_GE(count, 4);
}

TEST(Help, NamesEveryOption) {
  const Workshop workshop;
  const std::pair<const char*, std::vector<const char*>> commands[] = {
      {"prepare",
       {"TEXT", "--output", "--tokenizer", "--end-of-document", "--held-out", "--seed", "--shard-tokens",
        "--json-key", "--threads", "--line-limit", "--invalid-utf8", "--overwrite"}},
      {"train", {"CONFIG", "--set", "--fresh", "--log-level", "--log-format"}},
      {"generate",
       {"RUN", "--prompt", "--tokens", "--temperature", "--top-k", "--top-p", "--seed", "--threads",
        "--log-level", "--log-format"}},
      {"evaluate", {"RUN", "--data", "--split", "--batches", "--threads", "--log-level", "--log-format"}},
      {"inspect", {"PATH", "--digest"}},
      {"schema", {"--markdown"}}};
  for (const auto& [command, options] : commands) {
    const Outcome outcome = workshop.run({command, "--help"});
    EXPECT_EQ(outcome.code, 0);
    for (const char* option : options) EXPECT_THAT(outcome.out, testing::HasSubstr(option)) << command;
    const Outcome refused = workshop.run({command, "--hlep"});
    EXPECT_EQ(refused.code, 2) << command;
    EXPECT_THAT(refused.err, testing::HasSubstr("switchyard")) << command;
  }
}

}  // namespace
}  // namespace switchyard::test
