// `switchyard supervise` over real processes that are killed, fail for good, leave others behind, or are
// stopped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <string>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Words = std::vector<std::string>;

class Supervise : public testing::Test {
 protected:
  static Words supervise(const Words& options, const Words& command) {
    Words words = {"supervise", "--pause", "0"};
    words.insert(words.end(), options.begin(), options.end());
    words.emplace_back("--");
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }
  static Words shell(const std::string& text) { return {"sh", "-c", text}; }
  static Words program(const Words& words) {
    Words all = {SWITCHYARD_PROGRAM};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  }
  /// Process number of the run's first rank, from its lock; 0 while there is none.
  pid_t first_rank(const std::string& name) const {
    const std::string text = read_file(workshop_.run_folder(name) / "checkpoints/run.lock");
    const auto lock = nlohmann::json::parse(text, nullptr, false);
    return lock.is_object() ? lock["pid"].get<pid_t>() : 0;
  }
  bool has_checkpoint_from(const std::string& name, int step) const {
    for (int s = step; s <= step + 200; s += 10)
      if (std::filesystem::exists(workshop_.checkpoint(name, s))) return true;
    return false;
  }
  Workshop workshop_;
};

TEST_F(Supervise, BringsAKilledRunToTheSameBits) {
  const Words settings = {"train.steps=200", "train.evaluate_every=0"};
  ASSERT_EQ(workshop_.run(Workshop::train("whole", settings)).code, 0);
  Words train = program(Workshop::train("killed", settings));
  train.emplace_back("--fresh");
  const auto running = workshop_.start(supervise({}, train));
  ASSERT_TRUE(running->wait_until([&] { return has_checkpoint_from("killed", 20); }));
  ASSERT_GT(first_rank("killed"), 0);
  ASSERT_EQ(::kill(first_rank("killed"), SIGKILL), 0);
  const Outcome outcome = running->wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("attempt 1 ended with exit code 137 (killed by SIGKILL) at step"),
                    HasSubstr("starting it again in 0 s; goodput so far"), HasSubstr("resuming after step")));
  EXPECT_EQ(workshop_.digest("runs/killed"), workshop_.digest("runs/whole"));
  const std::string end = "done after 2 attempt(s) at step 200: goodput ";
  const auto at = outcome.out.find(end);
  ASSERT_NE(at, std::string::npos) << outcome.out;
  const double goodput = std::stod(outcome.out.substr(at + end.size()));
  EXPECT_GT(goodput, 0);
  EXPECT_LT(goodput, 100);
}

TEST_F(Supervise, GivesUpWithTheLastCodeAfterThreeRestartsWithoutACheckpoint) {
  const Outcome outcome = workshop_.run(supervise({"--run", "runs/none"}, shell("echo x >> count; exit 8")));
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_EQ(read_file(workshop_ / "count"), "x\nx\nx\nx\n");
  EXPECT_THAT(outcome.err, HasSubstr("giving up after 3 restart(s) without a new checkpoint"));
}

TEST_F(Supervise, DoesNotRepeatWhatCannotBeMended) {
  for (const int code : {2, 3, 4, 6, 75}) {
    const std::string text = "echo x >> count" + std::to_string(code) + "; exit " + std::to_string(code);
    const Outcome outcome = workshop_.run(supervise({"--run", "runs/none"}, shell(text)));
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(read_file(workshop_ / ("count" + std::to_string(code))), "x\n");
  }
  const Outcome absent = workshop_.run(supervise({"--run", "runs/none"}, {"no-such-program"}));
  EXPECT_EQ(absent.code, 127) << absent.err;
}

TEST_F(Supervise, PassesASignalOnAndEndsWithTheRun) {
  const auto running =
      workshop_.start(supervise({}, program(Workshop::train("live", {"train.steps=1_000_000"}))));
  ASSERT_TRUE(running->wait_until([&] { return has_checkpoint_from("live", 10); }));
  running->signal(SIGTERM);
  const Outcome outcome = running->wait();
  EXPECT_EQ(outcome.code, 75) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("passing TERM on as TERM"), HasSubstr("stopped on purpose")));
  EXPECT_THAT(outcome.out, HasSubstr("ended after 1 attempt(s)"));
}

TEST_F(Supervise, ASignalBetweenTwoAttemptsEndsIt) {
  const auto running =
      workshop_.start({"supervise", "--pause", "1h", "--run", "runs/none", "--", "sh", "-c", "exit 8"});
  ASSERT_TRUE(running->wait_until(
      [&] { return running->err_so_far().find("starting it again") != std::string::npos; }));
  running->signal(SIGINT);
  EXPECT_EQ(running->wait().code, 75);
}

TEST_F(Supervise, WaitsAsLongAsItSaysBetweenTwoAttempts) {
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = workshop_.run({"supervise", "--pause", "1s", "--idle-restarts", "1", "--run",
                                         "runs/none", "--", "sh", "-c", "echo x >> count; exit 8"});
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_EQ(read_file(workshop_ / "count"), "x\nx\n");
  EXPECT_THAT(outcome.err, HasSubstr("starting it again in 1 s"));
}

TEST_F(Supervise, EndsWhatAnAttemptLeavesBehind) {
  const Outcome outcome = workshop_.run(supervise({"--run", "runs/none", "--idle-restarts", "0"},
                                                  shell("(sleep 1000 & echo $! > left); exit 8")));
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("1 process(es) that attempt 1 left behind were ended"));
  EXPECT_NE(::kill(std::stoi(read_file(workshop_ / "left")), 0), 0) << "the sleeper lives";
}

TEST_F(Supervise, GoesOnWithFewerRanksWhenAHostIsGone) {
  const Words settings = {"train.steps=100", "train.evaluate_every=0"};
  ASSERT_EQ(workshop_.run(Workshop::train("whole", settings)).code, 0);
  write_file(workshop_ / "hosts", "first slots=2\nsecond slots=2\n");
  Words four_ranks = settings;
  four_ranks.emplace_back("parallel.expert=4");
  Words command = {std::string(SWITCHYARD_SOURCE_DIR) + "/scripts/launch", "-n", "4", "--"};
  for (const std::string& word : program(Workshop::train("shrunk", four_ranks))) command.push_back(word);
  const auto running = workshop_.start(supervise({"--hosts", "hosts", "--gone", "gone"}, command));
  ASSERT_TRUE(running->wait_until([&] { return has_checkpoint_from("shrunk", 10); }));
  write_file(workshop_ / "gone", "second\n");
  ASSERT_GT(first_rank("shrunk"), 0);
  ASSERT_EQ(::kill(first_rank("shrunk"), SIGKILL), 0);
  const Outcome outcome = running->wait();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              HasSubstr("hosts gone: second; running 2 rank(s), expert axis 2, instead of 4 and 4"));
  EXPECT_THAT(outcome.err, HasSubstr("ranks: 2 (2 expert-parallel)"));
  EXPECT_EQ(workshop_.digest("runs/shrunk"), workshop_.digest("runs/whole"));
}

/// A script in mpirun's place, for what a supervisor says to one.
void write_launcher(const std::filesystem::path& file, const std::string& text) {
  write_script(file, "#!/bin/sh\n" + text);
}

TEST_F(Supervise, AskedToStopItTellsMpirunWithUsr1AndStartsNothingMore) {
  write_launcher(workshop_ / "mpirun",
                 "trap 'echo usr1 >> got; exit 8' USR1\necho x > started\n"
                 "while :; do sleep 0.05; done\n");
  const auto running = workshop_.start(supervise({"--run", "runs/none"}, {"./mpirun", "-n", "2", "other"}));
  ASSERT_TRUE(running->wait_until([&] { return std::filesystem::exists(workshop_ / "started"); }));
  running->signal(SIGTERM);
  const Outcome outcome = running->wait();
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_EQ(read_file(workshop_ / "got"), "usr1\n");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("passing TERM on as USR1"), HasSubstr("it was asked to stop")));
}

TEST_F(Supervise, ASecondSignalReachesMpirunAsItIs) {
  write_launcher(workshop_ / "mpirun",
                 "trap 'echo usr1 >> got' USR1\ntrap 'echo term >> got; exit 9' TERM\necho x > started\n"
                 "while :; do sleep 0.05; done\n");
  const auto running = workshop_.start(supervise({"--run", "runs/none"}, {"./mpirun", "-n", "2", "other"}));
  ASSERT_TRUE(running->wait_until([&] { return std::filesystem::exists(workshop_ / "started"); }));
  running->signal(SIGTERM);
  ASSERT_TRUE(running->wait_until([&] { return std::filesystem::exists(workshop_ / "got"); }));
  running->signal(SIGTERM);
  EXPECT_EQ(running->wait().code, 9);
  EXPECT_EQ(read_file(workshop_ / "got"), "usr1\nterm\n");
}

TEST_F(Supervise, TakesTheHostsOfMpirunsOwnList) {
  write_launcher(workshop_ / "mpirun", "echo \"$@\" > words\n");
  Words command = {"./mpirun", "--host", "a:1,b:2", "-n", "3"};
  for (const std::string& word : program(Workshop::train("x"))) command.push_back(word);
  write_file(workshop_ / "gone", "b\n");
  const Outcome outcome = workshop_.run(supervise({"--gone", "gone"}, command));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(read_file(workshop_ / "words"),
              AllOf(HasSubstr("--host a:1 -n 1 "), HasSubstr("parallel.expert=1")));
  std::filesystem::remove(workshop_ / "gone");
  EXPECT_EQ(workshop_.run(supervise({"--gone", "gone"}, command)).code, 0);
  EXPECT_THAT(read_file(workshop_ / "words"), HasSubstr("--host a:1,b:2 -n 3 "));
}

TEST_F(Supervise, RefusesWhatItCannotWatch) {
  const Outcome no_folder = workshop_.run(supervise({}, shell("true")));
  EXPECT_EQ(no_folder.code, 2);
  EXPECT_THAT(no_folder.err, HasSubstr("name it with --run DIR"));
  const Outcome no_hosts = workshop_.run(supervise({"--gone", "gone"}, program(Workshop::train("x"))));
  EXPECT_EQ(no_hosts.code, 2);
  EXPECT_THAT(no_hosts.err, HasSubstr("--gone needs a launcher"));
  const Words gone = {"--gone", "gone", "--run", "runs/x"};
  EXPECT_THAT(workshop_.run(supervise(gone, shell("true"))).err,
              HasSubstr("--gone needs a `switchyard train` command"));
  Words launched = {"mpirun"};
  for (const std::string& word : program(Workshop::train("x"))) launched.push_back(word);
  EXPECT_THAT(workshop_.run(supervise(gone, launched)).err,
              HasSubstr("--gone needs a launcher with a number"));
  launched.insert(launched.begin() + 1, {"-n", "2"});
  EXPECT_THAT(workshop_.run(supervise(gone, launched)).err, HasSubstr("--gone needs to know all hosts"));
  EXPECT_EQ(workshop_.run({"supervise"}).code, 2);
  EXPECT_THAT(workshop_.run({"supervise", "--pause", "3", "--", "true"}).err, HasSubstr("--pause"));
}

}  // namespace
}  // namespace switchyard::test
