// When checkpoints are due.
#include "app/train/save_schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace switchyard::app {
namespace {

std::vector<std::int64_t> due(const SaveSchedule& schedule, std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> steps;
  for (std::int64_t step = first; step <= last; ++step)
    if (schedule.is_due(step)) steps.push_back(step);
  return steps;
}
using Steps = std::vector<std::int64_t>;

TEST(BestInterval, IsYoungs) {
  EXPECT_EQ(best_interval_steps(2, 10'000, 1), 200);
  EXPECT_EQ(best_interval_steps(2, 10'000, 0.5), 400);
  EXPECT_EQ(best_interval_steps(8, 10'000, 1), 400) << "four times the cost, twice the interval";
  EXPECT_EQ(best_interval_steps(2, 10'000, 1000), 1);
  EXPECT_GE(best_interval_steps(0, 3600, 1), 1) << "a save too quick to be measured";
}

TEST(SaveSchedule, FixedIntervalsAreMultiplesWhereverTheRunResumes) {
  CheckpointConfig config;
  config.every = 10;
  EXPECT_EQ(due(SaveSchedule(config, 13), 14, 40), (Steps{20, 30, 40}));
  config.every = 0;
  EXPECT_EQ(due(SaveSchedule(config, 0), 1, 100), (Steps{}));
}

TEST(SaveSchedule, AutomaticIntervalsCountFromTheLastSave) {
  CheckpointConfig config;
  config.failure_interval_seconds = 3600;
  SaveSchedule schedule(config, 5);
  ASSERT_TRUE(schedule.is_automatic());
  EXPECT_EQ(due(schedule, 6, 15), (Steps{15}));
  schedule.note_saved(15);
  schedule.set_interval(100);
  EXPECT_EQ(due(schedule, 16, 115), (Steps{115}));
}

TEST(SaveSchedule, RetriesSoonerAndThenLessOften) {
  CheckpointConfig config;
  config.every = 160;
  SaveSchedule schedule(config, 0);
  std::int64_t step = 160;
  Steps waits;
  for (int attempt = 0; attempt < 7; ++attempt) {
    ASSERT_TRUE(schedule.is_due(step)) << step;
    schedule.note_failed(step);
    const std::int64_t failed = step++;
    while (!schedule.is_due(step)) ++step;
    waits.push_back(step - failed);
  }
  EXPECT_EQ(waits, (Steps{10, 20, 40, 80, 10, 160, 160})) << "320 is due by itself";
  schedule.note_saved(step);
  EXPECT_EQ(due(schedule, step + 1, step + 320), (Steps{step / 160 * 160 + 160, step / 160 * 160 + 320}));
}

TEST(SaveSchedule, AFailedSaveIsRetriedSoonerThanTheAutomaticIntervalAlone) {
  CheckpointConfig config;
  config.failure_interval_seconds = 3600;
  SaveSchedule schedule(config, 0);
  schedule.set_interval(160);
  schedule.note_failed(160);
  EXPECT_EQ(due(schedule, 161, 180), (Steps{170, 171, 172, 173, 174, 175, 176, 177, 178, 179, 180}))
      << "until it has been tried";
  schedule.note_saved(170);
  EXPECT_EQ(due(schedule, 171, 340), (Steps{330, 331, 332, 333, 334, 335, 336, 337, 338, 339, 340}));
}

}  // namespace
}  // namespace switchyard::app
