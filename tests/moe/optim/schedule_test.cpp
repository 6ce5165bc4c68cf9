#include "moe/optim/schedule.h"

#include <gtest/gtest.h>

namespace switchyard::test {
namespace {

using moe::ScheduleKind;

moe::OptimizerConfig config_of(ScheduleKind kind) {
  moe::OptimizerConfig config;
  config.learning_rate = 2.0;
  config.schedule.kind = kind;
  config.schedule.warmup_steps = 4;
  config.schedule.final_fraction = 0.1;
  return config;
}

constexpr ScheduleKind kKinds[] = {ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine,
                                   ScheduleKind::wsd};

TEST(Schedule, WarmUpRisesLinearlyToThePeak) {
  for (const ScheduleKind kind : kKinds) {
    const moe::OptimizerConfig config = config_of(kind);
    EXPECT_DOUBLE_EQ(moe::learning_rate(config, 0, 25), 0.5);
    EXPECT_DOUBLE_EQ(moe::learning_rate(config, 1, 25), 1.0);
    EXPECT_DOUBLE_EQ(moe::learning_rate(config, 3, 25), 2.0);
    EXPECT_DOUBLE_EQ(moe::learning_rate(config, 4, 25), 2.0);
  }
}

TEST(Schedule, EndsAtTheFinalFractionAndStaysThere) {
  for (const ScheduleKind kind : kKinds) {
    const double last = kind == ScheduleKind::constant ? 2.0 : 0.2;
    EXPECT_NEAR(moe::learning_rate(config_of(kind), 24, 25), last, 1e-12);
    EXPECT_NEAR(moe::learning_rate(config_of(kind), 40, 25), last, 1e-12);
  }
}

TEST(Schedule, GoldenValues) {
  // 25 steps, 20 of them between the first at the peak (4) and the last (24).
  const auto rate = [](ScheduleKind kind, std::int64_t step) {
    return moe::learning_rate(config_of(kind), step, 25);
  };
  EXPECT_NEAR(rate(ScheduleKind::linear, 9), 1.55, 1e-12);
  EXPECT_NEAR(rate(ScheduleKind::linear, 14), 1.1, 1e-12);
  EXPECT_NEAR(rate(ScheduleKind::cosine, 9), 1.7363961030678928, 1e-12);  // 0.2 + 0.9 (1 + cos 45)
  EXPECT_NEAR(rate(ScheduleKind::cosine, 14), 1.1, 1e-12);
  EXPECT_NEAR(rate(ScheduleKind::cosine, 19), 0.4636038969321072, 1e-12);  // 0.2 + 0.9 (1 - cos 45)
  EXPECT_NEAR(rate(ScheduleKind::wsd, 19), 2.0, 1e-12);                    // the last fifth is the decay
  EXPECT_NEAR(rate(ScheduleKind::wsd, 20), 1.64, 1e-12);
  EXPECT_NEAR(rate(ScheduleKind::wsd, 22), 0.92, 1e-12);
}

TEST(Schedule, DecayStepsSetTheLengthOfTheDecay) {
  moe::OptimizerConfig config = config_of(ScheduleKind::wsd);
  config.schedule.decay_steps = 10;
  EXPECT_NEAR(moe::learning_rate(config, 14, 25), 2.0, 1e-12);
  EXPECT_NEAR(moe::learning_rate(config, 19, 25), 1.1, 1e-12);
}

TEST(Schedule, ShortRunsHaveARateToo) {
  for (const ScheduleKind kind : kKinds) {
    moe::OptimizerConfig config = config_of(kind);
    EXPECT_DOUBLE_EQ(moe::learning_rate(config, 1, 2), 1.0) << "all warm-up";
    config.schedule.warmup_steps = 0;
    const double rate = moe::learning_rate(config, 0, 1);
    EXPECT_GE(rate, 0.2 - 1e-12);
    EXPECT_LE(rate, 2.0);
  }
}

}  // namespace
}  // namespace switchyard::test
