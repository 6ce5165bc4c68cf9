// Which endings are worth another attempt, and after what pause.
#include "app/supervise/restart_policy.h"

#include <gtest/gtest.h>

#include <csignal>
#include <set>
#include <string>
#include <vector>

namespace switchyard::app {
namespace {

TEST(RestartPolicy, KnowsWhichCodesAnotherAttemptCanMend) {
  for (const int code : {5, 7, 8, 9, 70, 1, 128 + SIGKILL, 128 + SIGSEGV})
    EXPECT_TRUE(may_restart(code)) << code;
  for (const int code : {0, 2, 3, 4, 6, 75, 126, 127}) EXPECT_FALSE(may_restart(code)) << code;
  EXPECT_EQ(describe_exit(128 + SIGKILL), "killed by SIGKILL");
  std::set<std::string> names;
  for (int code = 0; code <= 9; ++code) names.insert(describe_exit(code));
  for (const int code : {70, 75, 127, 128 + SIGTERM, 128 + 100}) names.insert(describe_exit(code));
  EXPECT_EQ(names.size(), 15U) << "each has a name of its own, 1 is the launcher's";
  EXPECT_EQ(describe_exit(126), describe_exit(127));
  EXPECT_EQ(describe_exit(7), "a hang");
  EXPECT_EQ(describe_exit(128 + 100), "killed by signal 100");
}

TEST(RestartPolicy, PausesGrowToTheirCapAndFallBackWithProgress) {
  RestartPolicy policy({.idle_restarts = 100, .first_pause_seconds = 2, .longest_pause_seconds = 10}, 5);
  std::vector<std::int64_t> pauses;
  for (const int step : {5, 5, 5, 5, 5, 6, 6, 9}) pauses.push_back(policy.after(8, step).pause_seconds);
  EXPECT_EQ(pauses, (std::vector<std::int64_t>{2, 4, 8, 10, 10, 2, 4, 2}));
}

TEST(RestartPolicy, GivesUpAfterThreeRestartsWithoutProgress) {
  RestartPolicy policy({}, -1);
  for (int restart = 0; restart < 3; ++restart) EXPECT_TRUE(policy.after(8, -1).restarts);
  const Decision last = policy.after(8, -1);
  EXPECT_FALSE(last.restarts);
  EXPECT_EQ(last.reason, "giving up after 3 restart(s) without a new checkpoint");

  RestartPolicy with_progress({}, -1);
  for (int step = 0; step < 50; ++step) EXPECT_TRUE(with_progress.after(8, step / 3).restarts) << step;
  // A checkpoint that was withdrawn is no progress when it comes back.
  RestartPolicy up_and_down({}, 10);
  for (int restart = 0; restart < 3; ++restart)
    EXPECT_TRUE(up_and_down.after(8, restart % 2 == 0 ? 5 : 10).restarts);
  EXPECT_FALSE(up_and_down.after(8, 10).restarts);
}

TEST(RestartPolicy, AStoppedRunIsStartedAgainOnlyOnRequest) {
  EXPECT_FALSE(RestartPolicy({}, 0).after(75, 10).restarts);
  EXPECT_TRUE(RestartPolicy({.requeue = true}, 0).after(75, 10).restarts);
  EXPECT_FALSE(RestartPolicy({.requeue = true}, 0).after(0, 10).restarts);
}

}  // namespace
}  // namespace switchyard::app
