// Checkpoints that cannot be trusted: passed over for an older one, and never silently started over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class BrokenCheckpoint : public testing::Test {
 protected:
  BrokenCheckpoint() {
    EXPECT_EQ(workshop_.run(Workshop::train("whole")).code, 0);
    EXPECT_EQ(workshop_.run(Workshop::train("run")).code, 0);
  }
  void flip_bit(int step) {
    const auto part = workshop_.checkpoint("run", step) / "part-00000.safetensors";
    std::string bytes = read_file(part);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_file(part, bytes);
  }
  void expect_resumed_from(int step) {
    const Outcome outcome = workshop_.run(Workshop::train("run"));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("checkpoint passed over: "));
    EXPECT_THAT(outcome.err, HasSubstr("resuming after step " + std::to_string(step)));
    EXPECT_EQ(workshop_.digest("runs/run"), workshop_.digest("runs/whole"));
    workshop_.expect_steps_once("run", 20);
  }
  Workshop workshop_;
};

TEST_F(BrokenCheckpoint, NewestDamagedFallsBackToThePrevious) {
  flip_bit(20);
  expect_resumed_from(10);
}

TEST_F(BrokenCheckpoint, NewestCutShortFallsBackToThePrevious) {
  std::filesystem::resize_file(workshop_.checkpoint("run", 20) / "part-00000.safetensors", 5000);
  expect_resumed_from(10);
}

TEST_F(BrokenCheckpoint, NewestWithoutManifestFallsBackToThePrevious) {
  std::filesystem::remove(workshop_.checkpoint("run", 20) / "manifest.json");
  expect_resumed_from(10);
}

TEST_F(BrokenCheckpoint, AllDamagedIsRefusedUntilFresh) {
  flip_bit(10);
  flip_bit(20);
  const std::string metrics = read_file(workshop_.run_folder("run") / "metrics.jsonl");
  const Outcome refused = workshop_.run(Workshop::train("run"));
  EXPECT_EQ(refused.code, 4) << refused.err;
  EXPECT_THAT(refused.err, AllOf(HasSubstr("none of its 2 checkpoint(s) can be used"), HasSubstr("--fresh"),
                                 HasSubstr("step-00000020"), HasSubstr("no checkpoint can be used")));
  EXPECT_TRUE(read_file(workshop_.run_folder("run") / "metrics.jsonl") == metrics);
  EXPECT_TRUE(std::filesystem::exists(workshop_.checkpoint("run", 10)));

  const Outcome ranks = workshop_.run_ranks(2, Workshop::train("run", {"parallel.expert=2"}));
  EXPECT_EQ(ranks.code, 4) << ranks.err;
  EXPECT_EQ(occurrences(ranks.err, "none of its 2 checkpoint(s)"), 1) << ranks.err;

  const Outcome generated = workshop_.run({"generate", "runs/run", "--tokens", "2"});
  EXPECT_EQ(generated.code, 4) << generated.err;
  EXPECT_EQ(workshop_.run({"inspect", "--digest", "runs/run"}).code, 4);

  std::vector<std::string> fresh = Workshop::train("run");
  fresh.emplace_back("--fresh");
  EXPECT_EQ(workshop_.run(fresh).code, 0);
  EXPECT_EQ(workshop_.digest("runs/run"), workshop_.digest("runs/whole"));
}

TEST_F(BrokenCheckpoint, OfAnotherModelIsRefusedWithTheTensor) {
  const Outcome refused =
      workshop_.run(Workshop::train("run", {"model.moe.expert_width=32", "train.steps=30"}));
  EXPECT_EQ(refused.code, 4) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("layers.0.moe.experts."));
}

}  // namespace
}  // namespace switchyard::test
