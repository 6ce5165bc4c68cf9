// Bounds of a spike and the decisions that follow.
#include "app/guard/spike_window.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "app/guard/guard.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(SpikeWindow, BoundIsMeanPlusDeviationsOfTheLastValues) {
  SpikeWindow window(4);
  for (const double value : {100.0, 1.0, 2.0, 3.0}) window.add(value);
  window.add(4.0);  // 100 is forgotten
  EXPECT_DOUBLE_EQ(window.bound(2), 2.5 + 2 * std::sqrt(1.25));
  EXPECT_DOUBLE_EQ(window.bound(0), 2.5);
}

TEST(SpikeWindow, JudgesNothingBeforeItIsFull) {
  SpikeWindow window(3);
  window.add(1);
  window.add(1);
  EXPECT_EQ(window.bound(6), kInfinity);
  window.add(1);
  EXPECT_DOUBLE_EQ(window.bound(6), 1 + 6 * 1e-3)
      << "a thousandth of the mean stands in where nothing varies";
}

TEST(SpikeWindow, IsTheSameBitsAfterARoundTrip) {
  SpikeWindow window(5), copy(5), shorter(2);
  for (const double value : {0.1, 1e-300, 12345.678, -0.0, 3.25, 7.5}) window.add(value);
  copy.set_text(window.text());
  EXPECT_EQ(copy.text(), window.text());
  EXPECT_EQ(copy.bound(3), window.bound(3));
  shorter.set_text(window.text());
  EXPECT_DOUBLE_EQ(shorter.bound(0), (3.25 + 7.5) / 2);
  EXPECT_THROW(copy.set_text("123"), CheckpointError);
  EXPECT_THROW(copy.set_text("zzzzzzzzzzzzzzzz"), CheckpointError);
  EXPECT_THROW(copy.set_text("3ff000000000000z"), CheckpointError);
  EXPECT_THROW(copy.set_text("7ff0000000000000"), CheckpointError) << "infinity";
}

TEST(Guard, RefusesSpikesOfLossAndNorm) {
  Guard guard({.spike_sigma = 2, .spike_window = 4});
  EXPECT_EQ(guard.norm_bound(1e9), kInfinity);
  for (const double value : {1.0, 2.0, 1.0, 2.0}) guard.accept(value, 10 * value);
  EXPECT_EQ(guard.norm_bound(2.6), -kInfinity) << "above 1.5 + 2 * 0.5";
  EXPECT_DOUBLE_EQ(guard.norm_bound(2.4), 25);
  EXPECT_EQ(Guard({}).norm_bound(1e300), kInfinity) << "off unless asked for";
}

TEST(Guard, RollsBackByStepNumbersAlone) {
  const Guard guard({.rollback_after = 3, .rollback_steps = 10});
  RunState state;
  state.step = 52;
  state.skipped_in_a_row = 2;
  EXPECT_FALSE(guard.must_roll_back(state));
  state.step = 53;
  state.skipped_in_a_row = 3;
  ASSERT_TRUE(guard.must_roll_back(state));
  Rollback rollback = guard.rollback(state);
  EXPECT_EQ(rollback.step, 40);
  EXPECT_EQ(rollback.first_batch, 40);
  EXPECT_EQ(rollback.last_batch, 52);
  state.skipped_batches.add(5, 8);
  rollback = guard.rollback(state);
  EXPECT_EQ(rollback.first_batch, 43) << "step 40 takes a later batch where three were left out";
  EXPECT_EQ(rollback.last_batch, 55);
  state.skipped_batches.add(48, 51);
  rollback = guard.rollback(state);
  EXPECT_EQ(rollback.step, 45) << "an earlier rollback went there; not before it";
  EXPECT_EQ(rollback.first_batch, 51);
  EXPECT_EQ(rollback.last_batch, 58);
  state.skipped_batches = {};
  state.step = 5;
  EXPECT_EQ(guard.rollback(state).step, 0);
  EXPECT_FALSE(Guard({}).must_roll_back(state));
}

TEST(Guard, GivesUpWhereRollbacksDoNotHelp) {
  Guard guard({.rollback_after = 3});
  for (int i = 0; i < Guard::kMostRollbacks; ++i) guard.note_rollback(50);
  EXPECT_THROW(guard.note_rollback(49), NumericsError);
  Guard moving({.rollback_after = 3});
  for (int i = 0; i < 20; ++i) moving.note_rollback(50 + i);
}

}  // namespace
}  // namespace switchyard::app
