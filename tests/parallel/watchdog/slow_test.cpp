#include "parallel/watchdog/judge/slow.h"

#include <gtest/gtest.h>

#include <random>
#include <tuple>

namespace switchyard::parallel {
namespace {

constexpr std::int64_t kRanks = 4, kSteps = 10;
constexpr double kRatio = 1.25, kStepSeconds = 0.4;

// The first step at which a rank of a run with these speeds is named, and which.
std::optional<std::pair<std::int64_t, SlowRank>> first_named(double speed, double noise, unsigned seed,
                                                             std::int64_t steps) {
  SlowFinder finder(kRanks, kRatio, kSteps);
  std::mt19937 random(seed);
  std::normal_distribution<double> jitter(0, noise);
  for (std::int64_t step = 1; step <= steps; ++step) {
    std::vector<double> seconds;
    for (std::int64_t rank = 0; rank < kRanks; ++rank)
      seconds.push_back(kStepSeconds / (rank == 2 ? speed : 1) * std::max(0.2, 1 + jitter(random)));
    if (const auto slow = finder.add(step, seconds)) return std::pair(step, *slow);
  }
  return std::nullopt;
}

TEST(SlowFinder, NamesARankAtSevenTenthsOfTheSpeedWithinTwentySteps) {
  constexpr unsigned kTrials = 500;
  unsigned named_right = 0;
  for (unsigned seed = 0; seed < kTrials; ++seed) {
    const auto named = first_named(0.7, 0.1, seed, 20);
    if (!named) continue;
    ++named_right;
    EXPECT_EQ(named->second.rank, 2) << seed;
    EXPECT_NEAR(named->second.ratio, 1 / 0.7, 0.25);
    EXPECT_EQ(named->second.first_step, 1);
    EXPECT_EQ(named->second.last_step, named->first);
  }
  EXPECT_GE(named_right, kTrials * 99 / 100);
}

TEST(SlowFinder, NamesNobodyAmongEqualsWithNoise) {
  for (unsigned seed = 0; seed < 50; ++seed) EXPECT_FALSE(first_named(1, 0.15, seed, 2000)) << seed;
}

TEST(SlowFinder, OneDisturbanceNamesNobody) {
  SlowFinder finder(kRanks, kRatio, kSteps);
  for (std::int64_t step = 1; step <= 100; ++step) {
    std::vector<double> seconds(kRanks, kStepSeconds);
    if (step == 50) seconds[1] = 60;
    EXPECT_FALSE(finder.add(step, seconds));
  }
}

TEST(SlowFinder, ShortStepsAreGatheredToSeconds) {
  SlowFinder finder(kRanks, kRatio, kSteps);
  std::int64_t named_at = 0;
  for (std::int64_t step = 1; step <= 5000 && named_at == 0; ++step)
    if (finder.add(step, {0.001, 0.001, 0.001, 0.002})) named_at = step;
  EXPECT_GE(named_at, 1900);
}

TEST(SlowFinder, IsToldOnceAndAgainAfterItWasWell) {
  SlowFinder finder(2, kRatio, 1);
  int named = 0;
  for (std::int64_t step = 1; step <= 10; ++step) named += finder.add(step, {3, 6}).has_value() ? 1 : 0;
  EXPECT_EQ(named, 1);
  finder.add(11, {3, 3});
  for (std::int64_t step = 12; step <= 15; ++step) named += finder.add(step, {3, 6}).has_value() ? 1 : 0;
  EXPECT_EQ(named, 2);
}

TEST(SlowFinder, OfSeveralTheSlowestIsNamed) {
  for (const auto& [fourth, fifth, worst] : {std::tuple{6.0, 9.0, 4}, {9.0, 6.0, 3}}) {
    SlowFinder finder(5, kRatio, 1);
    EXPECT_FALSE(finder.add(1, {3, 3, 3, fourth, fifth}));
    const auto slow = finder.add(2, {3, 3, 3, fourth, fifth});
    ASSERT_TRUE(slow);
    EXPECT_EQ(slow->rank, worst);
  }
}

TEST(SlowFinder, LooksForNobodyWhereItIsOffOrARankIsAlone) {
  std::string name;
  const auto board = Board::make(2, 2, name);
  Board::unlink(name);
  for (std::int64_t step = 1; step <= 20; ++step)
    for (const std::int64_t rank : {0, 1}) {
      StepTime& time = board->status(rank).steps[static_cast<std::size_t>(step)];
      time.busy_ns.store(rank == 1 ? 9'000'000'000 : 3'000'000'000);
      time.step.store(step);
    }
  EXPECT_TRUE(SlowFinder(2, kRatio, 2).look(*board));
  EXPECT_FALSE(SlowFinder(2, 1, 2).look(*board));
  EXPECT_FALSE(SlowFinder(1, kRatio, 2).look(*board));
  board->status(1).steps[1].step.store(0);
  EXPECT_FALSE(SlowFinder(2, kRatio, 2).look(*board)) << "a rank has not come so far";
}

TEST(SlowFinder, ReadsTheBoardInOrderAndSkipsWhatIsGone) {
  std::string name;
  const auto board = Board::make(2, 2, name);
  Board::unlink(name);
  const auto publish = [&](std::int64_t step) {
    for (const std::int64_t rank : {0, 1}) {
      StepTime& time = board->status(rank).steps[static_cast<std::size_t>(step) % RankStatus::kStepTimes];
      time.busy_ns.store(rank == 1 ? 6'000'000'000 : 3'000'000'000);
      time.step.store(step);
    }
  };
  SlowFinder finder(2, kRatio, 2);
  for (std::int64_t step = 1; step <= 3; ++step) publish(step);
  EXPECT_FALSE(finder.look(*board));
  for (std::int64_t step = 4; step <= 200; ++step) publish(step);
  const auto slow = finder.look(*board);
  ASSERT_TRUE(slow);
  EXPECT_EQ(slow->rank, 1);
  EXPECT_DOUBLE_EQ(slow->ratio, 2);
}

// A rank that has gone round its entries has no times of the steps that it overwrote: they speak for nobody.
TEST(SlowFinder, LeavesOutStepsThatOneRankHasOverwritten) {
  std::string name;
  const auto board = Board::make(2, 2, name);
  Board::unlink(name);
  const auto publish = [&](std::int64_t rank, std::int64_t step, std::int64_t busy_ns) {
    StepTime& time = board->status(rank).steps[static_cast<std::size_t>(step) % RankStatus::kStepTimes];
    time.busy_ns.store(busy_ns);
    time.step.store(step);
  };
  constexpr std::int64_t kSecond = 1'000'000'000;
  for (std::int64_t step = 1; step <= 12; ++step) publish(0, step, 3 * kSecond);
  const std::int64_t kept = RankStatus::kStepTimes;
  for (std::int64_t step = 9; step <= 12; ++step) publish(1, step, 3 * kSecond);
  for (std::int64_t step = 1; step <= 8; ++step)
    publish(1, step + kept, 9 * kSecond);  // in the places of 1 to 8
  SlowFinder finder(2, kRatio, 1);
  EXPECT_FALSE(finder.look(*board)) << "equals";
  // What follows is judged: the steps left out have not been waited for.
  for (std::int64_t step = 13; step <= 16; ++step) {
    publish(0, step, 3 * kSecond);
    publish(1, step, 9 * kSecond);
  }
  const auto slow = finder.look(*board);
  ASSERT_TRUE(slow);
  EXPECT_EQ(slow->rank, 1);
  EXPECT_EQ(slow->first_step, 13);
}

}  // namespace
}  // namespace switchyard::parallel
