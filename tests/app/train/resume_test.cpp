// Stopping and going on: whatever ends a run, the same command brings it to the same bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <ctime>
#include <fstream>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::HasSubstr;

constexpr int kSteps = 100;
constexpr int kStop = 50;

// Larger batches than tiny.yaml's, so that a signal finds the run between its 50th and its last step.
std::vector<std::string> longer(std::vector<std::string> more = {}) {
  std::vector<std::string> settings = {"train.steps=100", "train.global_batch=32", "train.micro_batch=8"};
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

bool has_step(const Workshop& workshop, const std::string& name, int step) {
  const std::string metrics = read_file(workshop.run_folder(name) / "metrics.jsonl");
  return metrics.find("{\"step\":" + std::to_string(step) + ",\"tokens\"") != std::string::npos;
}

class Resume : public testing::Test {
 protected:
  /// The digest after `settings` without any stop.
  std::string uninterrupted(const std::vector<std::string>& settings) {
    const Outcome outcome = workshop_.run(Workshop::train("whole", settings));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return workshop_.digest("runs/whole");
  }
  /// Finishes "stopped" by the same command and compares.
  void expect_same_end(const std::vector<std::string>& settings) {
    const Outcome outcome = workshop_.run(Workshop::train("stopped", settings));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("resuming after step"));
    EXPECT_EQ(workshop_.digest(workshop_.checkpoint("stopped", kSteps)), uninterrupted(settings));
    workshop_.expect_steps_once("stopped", kSteps);
    EXPECT_EQ(workshop_.evaluations("stopped").size(), workshop_.evaluations("whole").size());
  }
  Workshop workshop_;
};

TEST_F(Resume, AfterSigtermAtHalf) {
  const auto settings = longer();
  const auto running = workshop_.start(Workshop::train("stopped", settings));
  ASSERT_TRUE(running->wait_until([&] { return has_step(workshop_, "stopped", kStop); }));
  running->signal(SIGTERM);
  const Outcome stopped = running->wait();
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("SIGTERM came"));
  EXPECT_THAT(stopped.err, HasSubstr("the same command goes on"));
  EXPECT_FALSE(has_step(workshop_, "stopped", kSteps));
  expect_same_end(settings);
}

TEST_F(Resume, AfterKillNineAndHalfALineOfMetrics) {
  const auto settings = longer({"checkpoint.every=20"});
  const auto running = workshop_.start(Workshop::train("stopped", settings));
  ASSERT_TRUE(running->wait_until([&] {
    return std::filesystem::exists(workshop_.checkpoint("stopped", 40)) &&
           has_step(workshop_, "stopped", kStop);
  }));
  running->signal(SIGKILL);
  EXPECT_EQ(running->wait().code, 128 + SIGKILL);
  std::ofstream(workshop_.run_folder("stopped") / "metrics.jsonl", std::ios::app) << "{\"step\":99,\"to";
  expect_same_end(settings);
}

TEST_F(Resume, AfterSigtermWhileACheckpointIsWritten) {
  const auto settings = longer({"checkpoint.every=1", "checkpoint.background=true"});
  const auto running = workshop_.start(Workshop::train("stopped", settings));
  const auto saving = [&] {
    std::error_code ignored;
    for (const auto& entry :
         std::filesystem::directory_iterator(workshop_.run_folder("stopped") / "checkpoints", ignored))
      if (entry.path().filename().string().starts_with(".tmp-")) return has_step(workshop_, "stopped", 20);
    return false;
  };
  ASSERT_TRUE(running->wait_until(saving));
  running->signal(SIGTERM);
  EXPECT_EQ(running->wait().code, 75);
  for (const auto& entry :
       std::filesystem::directory_iterator(workshop_.run_folder("stopped") / "checkpoints")) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name.starts_with("step-") || name == ".run.guard") << name;
  }
  expect_same_end(settings);
}

TEST_F(Resume, GoesOnWhenStepsAreAdded) {
  EXPECT_EQ(workshop_.run(Workshop::train("stopped", {"train.steps=23"})).code, 0);
  EXPECT_EQ(workshop_.run(Workshop::train("stopped", {"train.steps=40"})).code, 0);
  EXPECT_EQ(workshop_.digest("runs/stopped"), uninterrupted({"train.steps=40"}));
  workshop_.expect_steps_once("stopped", 40);
}

TEST_F(Resume, OfAFinishedRunChangesNothing) {
  ASSERT_EQ(workshop_.run(Workshop::train("done")).code, 0);
  const std::string metrics = read_file(workshop_.run_folder("done") / "metrics.jsonl");
  const std::string digest = workshop_.digest("runs/done");
  EXPECT_EQ(workshop_.run(Workshop::train("done")).code, 0);
  EXPECT_TRUE(read_file(workshop_.run_folder("done") / "metrics.jsonl") == metrics) << "a line more or less";
  EXPECT_EQ(workshop_.digest("runs/done"), digest);
}

TEST_F(Resume, IsRefusedWithAnotherSeedAndFreshStartsOver) {
  ASSERT_EQ(workshop_.run(Workshop::train("run")).code, 0);
  const std::string digest = workshop_.digest("runs/run");
  const Outcome refused = workshop_.run(Workshop::train("run", {"run.seed=8"}));
  EXPECT_EQ(refused.code, 2) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("run.seed was 7 when the checkpoint was made and is 8 now"));
  EXPECT_THAT(refused.err, HasSubstr("--fresh"));
  EXPECT_EQ(workshop_.digest("runs/run"), digest) << "a refusal changes nothing";

  std::vector<std::string> fresh = Workshop::train("run", {"run.seed=8", "train.steps=12"});
  fresh.emplace_back("--fresh");
  const Outcome outcome = workshop_.run(fresh);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(workshop_.checkpoint("run", 20))) << "of the old run";
  workshop_.expect_steps_once("run", 12);
  ASSERT_EQ(workshop_.run(Workshop::train("other", {"run.seed=8", "train.steps=12"})).code, 0);
  EXPECT_EQ(workshop_.digest("runs/run"), workshop_.digest("runs/other"));
}

TEST_F(Resume, AfterATimeLimit) {
  const Outcome stopped =
      workshop_.run(Workshop::train("timed", {"run.max_time=1s", "train.steps=1_000_000"}));
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("the time limit is near"));
  const auto done = static_cast<int>(workshop_.steps("timed").size());
  ASSERT_GT(done, 0);
  const std::string steps = "train.steps=" + std::to_string(done + 5);
  EXPECT_EQ(workshop_.run(Workshop::train("timed", {"run.max_time=0", steps})).code, 0);
  workshop_.expect_steps_once("timed", done + 5);
}

TEST_F(Resume, AfterTheEndOfASlurmJobCameNear) {
  const std::string end = std::to_string(std::time(nullptr) + 2);
  const Outcome stopped =
      workshop_.run(Workshop::train("slurm", {"train.steps=1_000_000"}), {{"SLURM_JOB_END_TIME", end}});
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("the time limit is near"));
  EXPECT_GT(workshop_.steps("slurm").size(), 0U);
}

TEST_F(Resume, TheIntervalFollowsFromFailuresAndChangesNoBit) {
  const auto settings = longer();
  const Outcome outcome = workshop_.run(
      Workshop::train("stopped", longer({"checkpoint.every=0", "checkpoint.failure_interval=1h"})));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              testing::AllOf(HasSubstr("checkpoint of step 10:"), HasSubstr("a save holds training up for"),
                             HasSubstr("the next checkpoint comes after")));
  EXPECT_EQ(workshop_.digest("runs/stopped"), uninterrupted(settings));
}

TEST_F(Resume, IsRefusedWhileTheRunLives) {
  const auto running = workshop_.start(Workshop::train("live", {"train.steps=1_000_000"}));
  ASSERT_TRUE(running->wait_until([&] { return has_step(workshop_, "live", 1); }));
  const Outcome refused = workshop_.run(Workshop::train("live"));
  EXPECT_EQ(refused.code, 2) << refused.err;
  EXPECT_THAT(refused.err, HasSubstr("process"));
  running->signal(SIGINT);
  EXPECT_EQ(running->wait().code, 75);
}

}  // namespace
}  // namespace switchyard::test
