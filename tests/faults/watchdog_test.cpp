// Ranks that hang, die, lag or fail on purpose: who is named, how soon, with which exit code and record.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using std::chrono::steady_clock;
using testing::AllOf;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

struct Drilled {
  Outcome outcome;
  double seconds_after = 0;  ///< from the fault on
  std::vector<pid_t> left;   ///< processes that outlived the launcher
};

/// Processes that run in a folder, by their command lines.
std::vector<pid_t> processes_of(const std::filesystem::path& folder) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path() / "cwd", gone) == folder && !gone)
      found.push_back(static_cast<pid_t>(std::stoi(name)));
  }
  return found;
}

class Watched : public testing::Test {
 protected:
  /// Trains on `ranks` ranks with a fault; the time counts from the moment at which the drill says it
  /// strikes.
  Drilled drill(int ranks, const std::string& fault, std::vector<std::string> settings = {}) {
    settings.emplace_back("train.steps=100000");
    settings.emplace_back("parallel.expert=" + std::to_string(ranks));
    settings.emplace_back("checkpoint.every=5");
    settings.emplace_back("train.evaluate_every=5");
    std::vector<std::string> words = Workshop::train("run", settings);
    words.insert(words.end(), {"--inject", fault});
    const auto process = workshop_.start_ranks(ranks, words);
    EXPECT_TRUE(process->wait_until([&] { return occurrences(process->err_so_far(), "drill: ") > 0; }))
        << process->err_so_far();
    const auto struck = steady_clock::now();
    Drilled run;
    run.outcome = process->wait();
    run.seconds_after = std::chrono::duration<double>(steady_clock::now() - struck).count();
    run.left = processes_of(workshop_.folder().path());
    return run;
  }
  std::string flights() { return workshop_.run({"inspect", "runs/run/flight"}).out; }
  Workshop workshop_;
};

// What the ranks print last is the cause; the launcher may add its own words.
void expect_cause_last(const std::string& err, const std::string& cause) {
  const std::size_t at = err.find(cause);
  ASSERT_NE(at, std::string::npos) << err;
  EXPECT_EQ(occurrences(err, cause), 1) << err;
  std::istringstream after(err.substr(err.find("What to do", at)));
  std::string line;
  std::getline(after, line);
  while (std::getline(after, line))
    EXPECT_THAT(line, Not(AnyOf(HasSubstr("[info]"), HasSubstr("[warn"), HasSubstr("rank ")))) << err;
}

struct Hang {
  std::string fault;
  std::string where;  ///< in the report
};
void PrintTo(const Hang& hang, std::ostream* out) {
  *out << hang.fault;
}

class HungRank : public Watched, public testing::WithParamInterface<Hang> {};

TEST_P(HungRank, IsNamedAndAllLeaveWithSeven) {
  std::vector<std::string> settings = {"watchdog.silent_after=1s"};
  if (GetParam().fault.find("exit") != std::string::npos) settings.emplace_back("run.max_time=1s");
  const Drilled run = drill(2, GetParam().fault, settings);
  EXPECT_EQ(run.outcome.code, 7) << run.outcome.err;
  EXPECT_THAT(run.outcome.err,
              ContainsRegex("rank 1 on .* \\(process [0-9]+\\) hangs: its process was stopped"));
  EXPECT_THAT(run.outcome.err, HasSubstr(GetParam().where));
  expect_cause_last(run.outcome.err, "no progress within the limit (exit code 7)");
  EXPECT_TRUE(run.left.empty()) << run.left.size() << " processes are left";
  EXPECT_LT(run.seconds_after, 20);
  EXPECT_THAT(flights(),
              AllOf(HasSubstr("2 of 2 ranks"), HasSubstr("recorded because: its process was stopped")));
}

INSTANTIATE_TEST_SUITE_P(Phases, HungRank,
                         testing::Values(Hang{"stop@rank=1,phase=resume", "step 0, resume"},
                                         Hang{"stop@rank=1,step=3,phase=data", "step 3, micro-batch 1, data"},
                                         Hang{"stop@rank=1,step=3,phase=forward,layer=1",
                                              "step 3, micro-batch 1, forward, layer 1"},
                                         Hang{"stop@rank=1,step=3,phase=all_to_all_v",
                                              "waits in all_to_all_v"},
                                         Hang{"stop@rank=1,step=3,phase=all_reduce", "waits in all_reduce"},
                                         Hang{"stop@rank=1,step=5,phase=evaluate", "step 5, evaluate"},
                                         Hang{"stop@rank=1,step=5,phase=save", "step 5, save"},
                                         Hang{"stop@rank=1,phase=exit", ", exit"}),
                         [](const testing::TestParamInfo<Hang>& hang) {
                           std::string name = hang.param.fault.substr(hang.param.fault.find("phase=") + 6);
                           return name.substr(0, name.find(','));
                         });

TEST_F(Watched, StoppedRankIsNamedWithinTenSecondsByDefault) {
  const Drilled run = drill(3, "stop@rank=2,step=4,phase=backward", {"model.moe.experts=6"});
  EXPECT_EQ(run.outcome.code, 7) << run.outcome.err;
  EXPECT_THAT(run.outcome.err, HasSubstr("rank 2 on "));
  EXPECT_GT(run.seconds_after, 4);
  EXPECT_LT(run.seconds_after, 20);
}

TEST_F(Watched, ThreadThatSleepsForEverIsHung) {
  const Drilled run = drill(2, "hang@rank=0,step=3,phase=backward,layer=0", {"watchdog.hang_after=2s"});
  EXPECT_EQ(run.outcome.code, 7) << run.outcome.err;
  EXPECT_THAT(run.outcome.err,
              AllOf(HasSubstr("rank 0 on "), ContainsRegex("it has not moved for [0-9]+ s while others wait"),
                    HasSubstr("backward, layer 0")));
  EXPECT_THAT(flights(), HasSubstr("behind: rank 0\n"));
}

TEST_F(Watched, HostsWatchEachOtherOverTcp) {
  ::setenv("SWITCHYARD_RANKS_AS_HOSTS", "1", 1);
  const Drilled stopped = drill(3, "stop@rank=1,step=4", {"model.moe.experts=6", "watchdog.silent_after=2s"});
  std::filesystem::remove_all(workshop_.run_folder("run"));
  const Drilled killed = drill(3, "kill@rank=0,step=4", {"model.moe.experts=6"});
  const Outcome healthy = workshop_.run_ranks(2, Workshop::train("healthy"));
  ::unsetenv("SWITCHYARD_RANKS_AS_HOSTS");
  EXPECT_EQ(stopped.outcome.code, 7) << stopped.outcome.err;
  EXPECT_THAT(
      stopped.outcome.err,
      AllOf(HasSubstr("rank 1 on "), HasSubstr("its host has sent nothing for 2 s"), HasSubstr("step 4")));
  EXPECT_EQ(occurrences(stopped.outcome.err, "(exit code 7)"), 1) << stopped.outcome.err;
  EXPECT_TRUE(stopped.left.empty());
  EXPECT_EQ(killed.outcome.code, 8) << killed.outcome.err;
  EXPECT_THAT(killed.outcome.err, HasSubstr("rank 0 on "));
  EXPECT_EQ(healthy.code, 0) << healthy.err;
}

struct Death {
  const char* kind;
  const char* how;
};
void PrintTo(const Death& death, std::ostream* out) {
  *out << death.kind;
}
class DeadRank : public Watched, public testing::WithParamInterface<Death> {};

TEST_P(DeadRank, IsNamedLastAndAllAreGoneWithEight) {
  const Drilled run =
      drill(3, std::string(GetParam().kind) + "@rank=1,step=4,phase=backward", {"model.moe.experts=6"});
  EXPECT_EQ(run.outcome.code, 8) << run.outcome.err;
  EXPECT_THAT(run.outcome.err, HasSubstr("rank 1 on "));
  EXPECT_THAT(run.outcome.err, HasSubstr(GetParam().how));
  EXPECT_THAT(run.outcome.err, HasSubstr("step 4"));
  expect_cause_last(run.outcome.err, "another rank failed (exit code 8)");
  EXPECT_LT(run.seconds_after, 15);
  EXPECT_TRUE(run.left.empty());
  EXPECT_THAT(flights(), AllOf(HasSubstr("3 of 3 ranks"), ContainsRegex("behind: rank [0-9, ]*1")));
}

INSTANTIATE_TEST_SUITE_P(Ways, DeadRank,
                         testing::Values(Death{"kill", "was ended by signal 9"},
                                         Death{"crash", "was ended by signal 11"},
                                         Death{"abort", "was ended by signal 6"},
                                         Death{"leave", "its process is gone"}),
                         [](const testing::TestParamInfo<Death>& death) { return death.param.kind; });

TEST_F(Watched, RankWithAnErrorTellsItAloneAndAllKeepRecords) {
  const Drilled run = drill(2, "error@rank=1,step=4");
  EXPECT_EQ(run.outcome.code, 70) << run.outcome.err;
  EXPECT_EQ(occurrences(run.outcome.err, "a drill asked for this failure"), 1) << run.outcome.err;
  EXPECT_EQ(occurrences(run.outcome.err, "was lost"), 0) << run.outcome.err;
  EXPECT_THAT(flights(), AllOf(HasSubstr("2 of 2 ranks"), HasSubstr("rank 1 failed")));
}

TEST_F(Watched, OneRankAloneKeepsARecordOfErrorsAndFaults) {
  for (const char* fault : {"error@step=4", "crash@step=4"}) {
    std::vector<std::string> words = Workshop::train("alone");
    words.insert(words.end(), {"--fresh", "--inject", fault});
    const Outcome outcome = workshop_.run(words);
    EXPECT_EQ(outcome.code, fault[0] == 'e' ? 70 : 128 + SIGSEGV) << outcome.err;
    const Outcome inspected = workshop_.run({"inspect", "runs/alone/flight"});
    EXPECT_EQ(inspected.code, 0) << inspected.err;
    EXPECT_THAT(inspected.out, AllOf(HasSubstr("1 of 1 ranks"), HasSubstr("step 4, micro-batch 0, forward")));
    std::filesystem::remove_all(workshop_.run_folder("alone"));
  }
}

TEST_F(Watched, SlowRankIsNamedWhileItTrains) {
  // Two ranks, one on each core. A rank is named after two windows of two seconds of work at least: the run
  // has twice as much on a fast core. With a sanitizer a window of eight steps takes far longer than that.
#ifdef __SANITIZE_ADDRESS__
  const std::string steps = "train.steps=24";
#else
  const std::string steps = "train.steps=60";
#endif
  std::vector<std::string> words =
      Workshop::train("slow", {steps, "model.width=128", "data.sequence_length=64", "train.global_batch=64",
                               "train.micro_batch=8", "train.evaluate_every=0", "checkpoint.every=0",
                               "watchdog.slow_steps=8"});
  words.insert(words.end(), {"--inject", "slow@rank=1,speed=0.3"});
  const Outcome outcome = workshop_.run_ranks(2, words);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, ContainsRegex("rank 1 on .* is slow: its work in steps [0-9]+ to [0-9]+ took"));
}

TEST_F(Watched, DisabledWatchdogLeavesTheRunAsItIs) {
  const Outcome outcome = workshop_.run_ranks(2, Workshop::train("off", {"watchdog.enable=false"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const Outcome watched = workshop_.run_ranks(2, Workshop::train("on"));
  EXPECT_EQ(watched.code, 0) << watched.err;
  const Outcome patient = workshop_.run_ranks(2, Workshop::train("patient", {"watchdog.hang_after=0"}));
  EXPECT_EQ(patient.code, 0) << patient.err;
  EXPECT_EQ(workshop_.digest("runs/on"), workshop_.digest("runs/off"));
  EXPECT_EQ(workshop_.digest("runs/on"), workshop_.digest("runs/patient"));
  EXPECT_FALSE(std::filesystem::exists(workshop_.run_folder("on") / "flight"));
}

TEST_F(Watched, WrongDrillsAreRefused) {
  std::vector<std::string> words = Workshop::train("run");
  words.insert(words.end(), {"--inject", "explode@rank=1"});
  const Outcome outcome = workshop_.run(words);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("explode"), HasSubstr("kill, crash")));
}

TEST_F(Watched, DiskDrillAbandonsOneSave) {
  std::vector<std::string> words = Workshop::train("run");
  words.insert(words.end(), {"--inject", "disk@step=10,errno=EIO"});
  const Outcome outcome = workshop_.run(words);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("checkpoint of step 10 abandoned"));
  EXPECT_FALSE(std::filesystem::exists(workshop_.checkpoint("run", 10)));
  workshop_.digest(workshop_.checkpoint("run", 20));
}

}  // namespace
}  // namespace switchyard::test
