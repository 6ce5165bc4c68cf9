// What asks a run of several ranks to stop, and whom: every signal, sent to the launchers and to single
// processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::HasSubstr;

enum class Target { launch_script, mpirun, guardian_of_rank_0, rank_0, rank_1, every_rank };
struct Asking {
  int signal;
  const char* signal_name;
  Target target;
  const char* target_name;
};
void PrintTo(const Asking& asking, std::ostream* out) {
  *out << asking.signal_name << " to " << asking.target_name;
}

/// The processes of the program in a folder that are this rank: its guardian and the rank itself, in this
/// order.
std::vector<pid_t> processes_of_rank(const std::filesystem::path& folder, int rank) {
  std::vector<pid_t> found;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (std::filesystem::read_symlink(entry.path() / "cwd", gone) != folder || gone) continue;
    if (std::filesystem::read_symlink(entry.path() / "exe", gone) != SWITCHYARD_PROGRAM || gone) continue;
    const std::string environment = '\0' + read_file(entry.path() / "environ");
    const std::string mark = '\0' + ("OMPI_COMM_WORLD_RANK=" + std::to_string(rank)) + '\0';
    if (environment.find(mark) != std::string::npos) found.push_back(static_cast<pid_t>(std::stoi(name)));
  }
  std::sort(found.begin(), found.end());  // the guardian is there first
  return found;
}

class AskedToStop : public testing::TestWithParam<Asking> {
 protected:
  std::unique_ptr<Process> start() {
    const auto words = Workshop::train("run", {"train.steps=1_000_000", "checkpoint.every=5",
                                               "parallel.expert=2", "train.evaluate_every=0"});
    if (GetParam().target != Target::launch_script) return workshop_.start_ranks(2, words);
    std::vector<std::string> launched = {SWITCHYARD_SOURCE_DIR "/scripts/launch", "-n", "2", "--",
                                         SWITCHYARD_PROGRAM};
    launched.insert(launched.end(), words.begin(), words.end());
    return std::make_unique<Process>(launched,
                                     Process::Surroundings{workshop_.folder().path(), mpirun_environment()});
  }
  void ask(Process& running) {
    const auto folder = workshop_.folder().path();
    std::vector<pid_t> asked;
    switch (GetParam().target) {
      case Target::launch_script:
      case Target::mpirun:
        return running.signal(GetParam().signal);
      case Target::guardian_of_rank_0:
        asked = {processes_of_rank(folder, 0).at(0)};
        break;
      case Target::rank_0:
        asked = {processes_of_rank(folder, 0).at(1)};
        break;
      case Target::rank_1:
        asked = {processes_of_rank(folder, 1).at(1)};
        break;
      case Target::every_rank:
        for (const int rank : {0, 1})
          for (const pid_t process : processes_of_rank(folder, rank)) asked.push_back(process);
        ASSERT_EQ(asked.size(), 4U);
    }
    for (const pid_t process : asked) ASSERT_EQ(::kill(process, GetParam().signal), 0);
  }
  Workshop workshop_;
};

TEST_P(AskedToStop, AllWriteACheckpointAndLeaveWithSeventyFive) {
  const auto running = start();
  ASSERT_TRUE(running->wait_until([&] { return workshop_.steps("run").size() >= 6; }))
      << running->err_so_far();
  ask(*running);
  const Outcome stopped = running->wait();
  // Open MPI's own mpirun does not pass SIGTERM and SIGINT on: it ends the ranks one second later.
  const bool is_killed_by_mpirun = GetParam().target == Target::mpirun && GetParam().signal != SIGUSR1;
  if (is_killed_by_mpirun)
    EXPECT_NE(stopped.code, 0) << stopped.err;
  else
    EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_FALSE(stopped.timed_out);
  for (const int rank : {0, 1}) EXPECT_TRUE(processes_of_rank(workshop_.folder().path(), rank).empty());
  EXPECT_FALSE(workshop_.digest("runs/run").empty()) << "the newest checkpoint is whole";
  if (is_killed_by_mpirun) return;
  EXPECT_THAT(stopped.err, HasSubstr("the same command goes on"));
  const auto steps = static_cast<int>(workshop_.steps("run").size());
  EXPECT_TRUE(std::filesystem::exists(workshop_.checkpoint("run", steps))) << "no finished step is lost";
}

std::vector<Asking> askings() {
  std::vector<Asking> all;
  for (const auto& [target, name] : {std::pair(Target::launch_script, "launch_script"),
                                     {Target::mpirun, "mpirun"},
                                     {Target::guardian_of_rank_0, "guardian_of_rank_0"},
                                     {Target::rank_0, "rank_0"},
                                     {Target::rank_1, "rank_1"},
                                     {Target::every_rank, "every_rank"}})
    for (const auto& [signal, signal_name] :
         {std::pair(SIGTERM, "SIGTERM"), {SIGINT, "SIGINT"}, {SIGUSR1, "SIGUSR1"}})
      all.push_back({signal, signal_name, target, name});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Signals, AskedToStop, testing::ValuesIn(askings()),
                         [](const testing::TestParamInfo<Asking>& asking) {
                           return std::string(asking.param.signal_name) + "_" + asking.param.target_name;
                         });

// An mpirun whose ranks do not exist yet ("none"), or are one that cannot be asked ("deaf").
constexpr const char* kMpirun = R"(#!/usr/bin/env python3
import signal, subprocess, sys, time
if "--version" in sys.argv:
    sys.exit(print("mpirun (Open MPI) 4.1.4"))
def say(words): print(words, file=sys.stderr, flush=True)
rank = subprocess.Popen(["sleep", "100"]) if sys.argv[-1] == "deaf" else None
def end(*_):
    time.sleep(0.5)
    if rank: rank.kill()
    say("mpirun ends")
    sys.exit(143)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.signal(signal.SIGTERM, end)
say("mpirun runs")
while True:
    signal.pause()
)";

class LaunchScript : public testing::TestWithParam<int> {
 protected:
  /// The launch script, waiting for that mpirun.
  std::unique_ptr<Process> start(const std::string& ranks) {
    write_script(folder_ / "mpirun", kMpirun);
    const std::string path = folder_.path().string() + ":" + std::getenv("PATH");
    auto launch = std::make_unique<Process>(
        std::vector<std::string>{SWITCHYARD_SOURCE_DIR "/scripts/launch", "--", "echo", ranks},
        Process::Surroundings{folder_.path(), {{"PATH", path}}});
    EXPECT_TRUE(says(*launch, "mpirun runs"));
    return launch;
  }
  static bool says(Process& launch, const std::string& words) {
    return launch.wait_until([&] { return occurrences(launch.err_so_far(), words) == 1; });
  }
  Folder folder_;
};

TEST_P(LaunchScript, AskedBeforeThereAreRanksStartsNone) {
  const auto launch = start("none");
  launch->signal(GetParam());
  const Outcome stopped = launch->wait(std::chrono::seconds(20));
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_THAT(stopped.err, AllOf(HasSubstr("stopped before there were ranks"), HasSubstr("mpirun ends")));
}

TEST_P(LaunchScript, AskedTwiceEndsTheRanksAndWaitsForIt) {
  const auto launch = start("deaf");
  launch->signal(GetParam());
  EXPECT_TRUE(says(*launch, "asking the ranks"));
  launch->signal(GetParam());
  const Outcome stopped = launch->wait(std::chrono::seconds(20));
  EXPECT_EQ(stopped.code, 143) << stopped.err;
  EXPECT_THAT(stopped.err, HasSubstr("mpirun ends"));
}

INSTANTIATE_TEST_SUITE_P(Signals, LaunchScript, testing::Values(SIGTERM, SIGINT, SIGUSR1),
                         [](const testing::TestParamInfo<int>& signal) {
                           return std::string("SIG") + sigabbrev_np(signal.param);
                         });

}  // namespace
}  // namespace switchyard::test
