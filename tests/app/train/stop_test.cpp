// Signals and time limits, as the loop asks about them.
#include "app/train/stop.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <ctime>

namespace switchyard::app {
namespace {

class SlurmEnd {
 public:
  explicit SlurmEnd(const std::string& text) { ::setenv("SLURM_JOB_END_TIME", text.c_str(), 1); }
  ~SlurmEnd() { ::unsetenv("SLURM_JOB_END_TIME"); }
  SlurmEnd(const SlurmEnd&) = delete;
  SlurmEnd& operator=(const SlurmEnd&) = delete;
};

std::string unix_time_in(std::int64_t seconds) {
  return std::to_string(static_cast<std::int64_t>(std::time(nullptr)) + seconds);
}

TEST(Deadline, IsNeverNearWithoutALimit) {
  EXPECT_FALSE(Deadline(0).is_near(1e9, 1e9));
}

TEST(Deadline, IsNearWhenAStepAndTwoSavesWouldNotFit) {
  const Deadline deadline(1000);
  EXPECT_FALSE(deadline.is_near(100, 440));
  EXPECT_TRUE(deadline.is_near(100, 451));
  EXPECT_TRUE(deadline.is_near(1001, 0));
}

TEST(Deadline, IsTheEarlierOfTheRunsAndSlurms) {
  {
    const SlurmEnd end(unix_time_in(500));
    EXPECT_TRUE(Deadline(0).is_near(510, 0));
    EXPECT_FALSE(Deadline(0).is_near(480, 0));
    EXPECT_TRUE(Deadline(1000).is_near(510, 0));
    EXPECT_TRUE(Deadline(100).is_near(110, 0));
    EXPECT_FALSE(Deadline(100).is_near(90, 0));
  }
  const SlurmEnd past(unix_time_in(-10));
  EXPECT_TRUE(Deadline(0).is_near(0, 0));
}

TEST(Deadline, TakesNoTimeFromWhatIsNone) {
  for (const char* text : {"", "0", "-5", "soon", "17x", "99999999999999999999999"}) {
    const SlurmEnd end(text);
    EXPECT_FALSE(Deadline(0).is_near(1e9, 1e9)) << text;
    EXPECT_TRUE(Deadline(100).is_near(110, 0)) << text;
  }
}

TEST(StopSignals, RememberTheLastAndForgetItAtTheNextRun) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
    const StopSignals signals;
    EXPECT_EQ(StopSignals::received(), 0);
    std::raise(signal);
    EXPECT_EQ(StopSignals::received(), signal);
  }
  EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
  EXPECT_EQ(signal_name(SIGINT), "SIGINT");
  EXPECT_EQ(signal_name(SIGUSR1), "SIGUSR1");
  EXPECT_EQ(signal_name(SIGHUP), "signal 1");
}

TEST(StopSignalsDeathTest, ASecondInterruptEndsTheProcess) {
  const auto interrupt_twice = [] {
    const StopSignals signals;
    std::raise(SIGINT);
    std::raise(SIGINT);
  };
  EXPECT_EXIT(interrupt_twice(), testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace switchyard::app
