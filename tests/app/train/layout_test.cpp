// Training over processes: stops, and any layout, lead to the bits of one rank.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::HasSubstr;

constexpr int kSteps = 100;
const std::vector<std::string> kOneRank = {"train.steps=100", "train.global_batch=32",
                                           "train.micro_batch=16"};
const std::vector<std::string> kTwoRanks = {"train.steps=100", "train.global_batch=32",
                                            "train.micro_batch=16", "parallel.expert=2"};

class Layout : public testing::Test {
 protected:
  void expect_stopped_then_same(Process& running, int signal) {
    ASSERT_TRUE(running.wait_until([&] { return workshop_.steps("ranks").size() >= kSteps / 2; }))
        << running.err_so_far();
    running.signal(signal);
    const Outcome stopped = running.wait();
    EXPECT_EQ(stopped.code, 75) << stopped.err;
    EXPECT_LT(workshop_.steps("ranks").size(), kSteps);
    const Outcome resumed = workshop_.run_ranks(2, Workshop::train("ranks", kTwoRanks));
    EXPECT_EQ(resumed.code, 0) << resumed.err;
    workshop_.expect_steps_once("ranks", kSteps);
    ASSERT_EQ(workshop_.run(Workshop::train("alone", kOneRank)).code, 0);
    EXPECT_EQ(workshop_.digest("runs/ranks"), workshop_.digest("runs/alone"));
  }
  Workshop workshop_;
};

TEST_F(Layout, TwoRanksStopOnSigusr1OfMpirunAndGoOn) {
  const auto running = workshop_.start_ranks(2, Workshop::train("ranks", kTwoRanks));
  expect_stopped_then_same(*running, SIGUSR1);
}

TEST_F(Layout, TwoRanksStopOnSigtermOfScriptsLaunchAndGoOn) {
  std::vector<std::string> words = {SWITCHYARD_SOURCE_DIR "/scripts/launch", "-n", "2", "--",
                                    SWITCHYARD_PROGRAM};
  for (const std::string& word : Workshop::train("ranks", kTwoRanks)) words.push_back(word);
  Process running(words, {workshop_.folder().path(), mpirun_environment()});
  expect_stopped_then_same(running, SIGTERM);
}

class LayoutAtPrecision : public Layout, public testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Precision, LayoutAtPrecision, testing::Values("fp32", "bf16"),
                         [](const auto& suite) { return suite.param; });

TEST_P(LayoutAtPrecision, ChangesBetweenRunsNotTheBits) {
  const std::string precision = "train.precision=" + GetParam();
  const struct {
    int ranks, expert, steps;
  } legs[] = {{1, 1, 8}, {2, 2, 16}, {4, 2, 24}, {3, 1, 32}, {1, 1, 40}};
  for (const auto& leg : legs) {
    const auto words = Workshop::train("moving", {precision, "train.steps=" + std::to_string(leg.steps),
                                                  "parallel.expert=" + std::to_string(leg.expert)});
    const Outcome outcome = leg.ranks == 1 ? workshop_.run(words) : workshop_.run_ranks(leg.ranks, words);
    ASSERT_EQ(outcome.code, 0) << leg.ranks << " ranks: " << outcome.err;
  }
  workshop_.expect_steps_once("moving", 40);
  ASSERT_EQ(workshop_.run(Workshop::train("still", {precision, "train.steps=40"})).code, 0);
  EXPECT_EQ(workshop_.digest("runs/moving"), workshop_.digest("runs/still"));
  const auto moving = workshop_.steps("moving"), still = workshop_.steps("still");
  for (std::size_t step = 0; step < still.size(); ++step)
    for (const char* key : {"loss", "auxiliary_loss", "gradient_norm", "layers"})
      EXPECT_EQ(moving[step][key], still[step][key]) << key << " of step " << step + 1;
}

TEST_F(Layout, BrokenConfigurationIsReportedOnce) {
  const Outcome outcome = workshop_.run_ranks(2, Workshop::train("broken", {"model.moe.topk=2"}));
  EXPECT_EQ(outcome.code, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("did you mean"));
  EXPECT_EQ(occurrences(outcome.err, "model.moe.topk"), 1) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "the configuration is wrong (exit code 2)"), 1) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "What to do: "), 1) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(workshop_.run_folder("broken")));
}

TEST_F(Layout, BrokenDataIsReportedOnce) {
  const Outcome outcome = workshop_.run_ranks(2, Workshop::train("broken", {"data.train=nowhere"}));
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "got 'nowhere'"), 1) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "What to do: "), 1) << outcome.err;
}

}  // namespace
}  // namespace switchyard::test
