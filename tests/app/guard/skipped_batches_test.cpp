// The batch of a step where some are left out.
#include "app/guard/skipped_batches.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

TEST(SkippedBatches, GiveEachStepTheNextBatchThatIsLeft) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    SkippedBatches skipped;
    std::set<std::int64_t> left_out;
    for (std::uint64_t i = random() % 6; i > 0; --i) {
      const auto begin = static_cast<std::int64_t>(random() % 60);
      const auto end = begin + 1 + static_cast<std::int64_t>(random() % 9);
      skipped.add(begin, end);
      for (std::int64_t batch = begin; batch < end; ++batch) left_out.insert(batch);
    }
    EXPECT_EQ(skipped.count(), static_cast<std::int64_t>(left_out.size())) << seed;
    std::int64_t batch = 0;
    for (std::int64_t step = 0; step < 100; ++step, ++batch) {
      while (left_out.contains(batch)) ++batch;
      ASSERT_EQ(skipped.batch_of(step), batch) << "seed " << seed << ", " << skipped.text();
    }
    if (!skipped.is_empty()) {
      EXPECT_EQ(skipped.batch_of(skipped.last_step()), *left_out.rbegin() + 1);
    }
    EXPECT_EQ(SkippedBatches::parse(skipped.text()), skipped);
  }
}

TEST(SkippedBatches, ReadOnlyTheirOwnText) {
  SkippedBatches skipped;
  skipped.add(12, 13);
  skipped.add(5, 8);
  EXPECT_EQ(skipped.text(), "5-7,12-12");
  EXPECT_TRUE(SkippedBatches::parse("").is_empty());
  for (const char* text : {"5", "7-5", "-1-2", "5-7,", "5-7,8-9", "12-12,5-7", "5-7;9-9", "a-b", "1-2 ", "5x",
                           "5-", "5-x", "5-99999999999999999999", "5-7,9", "3-3x"})
    EXPECT_THROW(SkippedBatches::parse(text), CheckpointError) << text;
}

}  // namespace
}  // namespace switchyard::app
