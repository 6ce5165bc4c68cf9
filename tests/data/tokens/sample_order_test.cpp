#include "data/tokens/sample_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "kernels/runtime/error.h"

namespace switchyard::data {
namespace {

std::vector<std::uint64_t> epoch_of(std::uint64_t seed, std::uint64_t size, std::uint64_t epoch) {
  const SampleOrder order(seed, size);
  std::vector<std::uint64_t> windows;
  for (std::uint64_t i = 0; i < size; ++i) windows.push_back(order.window(epoch * size + i));
  return windows;
}

TEST(SampleOrder, EveryEpochGoesThroughEveryWindowOnce) {
  std::vector<std::uint64_t> sizes = {127, 128, 129, 1023, 1024, 1025, 4096, 7919, 65537};
  for (std::uint64_t size = 1; size <= 70; ++size) sizes.push_back(size);
  for (const std::uint64_t size : sizes)
    for (const std::uint64_t epoch : {0, 1, 1000}) {
      std::vector<int> seen(size, 0);
      for (const std::uint64_t window : epoch_of(5, size, epoch)) {
        ASSERT_LT(window, size);
        ASSERT_EQ(seen[window]++, 0) << "size " << size << " epoch " << epoch;
      }
    }
}

TEST(SampleOrder, EpochsAndSeedsDiffer) {
  const auto base = epoch_of(1, 1000, 0);
  EXPECT_NE(base, epoch_of(1, 1000, 1));
  EXPECT_NE(base, epoch_of(2, 1000, 0));
  // Neighbouring seeds and epochs share no more fixed places than chance gives (1 expected).
  for (const auto& other : {epoch_of(1, 1000, 1), epoch_of(2, 1000, 0)}) {
    int equal = 0;
    for (std::size_t i = 0; i < base.size(); ++i) equal += base[i] == other[i] ? 1 : 0;
    EXPECT_LT(equal, 8);
  }
}

TEST(SampleOrder, AllPermutationsOfThreeAreAboutAsLikely) {
  std::map<std::vector<std::uint64_t>, int> counts;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) ++counts[epoch_of(seed, 3, seed % 7)];
  ASSERT_EQ(counts.size(), 6U);
  double chi_square = 0;
  for (const auto& [permutation, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_square, 25.0);  // 5 degrees of freedom: exceeded by chance once in 7000 times
}

TEST(SampleOrder, NeighboursAreScattered) {
  const auto windows = epoch_of(3, 10000, 0);
  double sum = 0;
  for (std::size_t i = 1; i < windows.size(); ++i)
    sum += std::abs(static_cast<double>(windows[i]) - static_cast<double>(windows[i - 1]));
  EXPECT_NEAR(sum / 9999, 10000.0 / 3, 150);  // mean distance of independent places
}

TEST(SampleOrder, IsFrozen) {
  // Worked out by a second program, from the text in the header. They are part of every run's meaning:
  // another order is another experiment.
  EXPECT_THAT(epoch_of(1, 10, 0), testing::ElementsAre(3, 4, 8, 7, 1, 5, 2, 9, 6, 0));
  EXPECT_THAT(epoch_of(1, 10, 1), testing::ElementsAre(6, 3, 5, 7, 4, 8, 1, 2, 9, 0));
  EXPECT_EQ(SampleOrder(42, 1000003).window(123456789), 787462U);
  EXPECT_EQ(SampleOrder(~0ULL, 1ULL << 62).window(1), 602813890023293810ULL);
}

TEST(SampleOrder, CountsEpochsOverTheRun) {
  const SampleOrder order(1, 10);
  EXPECT_EQ(order.epoch(9), 0U);
  EXPECT_EQ(order.epoch(10), 1U);
  EXPECT_THROW(SampleOrder(1, 0), InternalError);
}

TEST(SampleIndex, CountsSamplesInTheOrderOfTheRun) {
  std::uint64_t expected = 0;
  for (std::uint64_t step = 0; step < 3; ++step)
    for (std::int64_t unit = 0; unit < 4; ++unit)
      for (std::int64_t b = 0; b < 5; ++b) EXPECT_EQ(sample_index(step, unit, b, 4, 5), expected++);
  EXPECT_THROW(sample_index(0, 4, 0, 4, 5), InternalError);
  EXPECT_THROW(sample_index(0, 0, 5, 4, 5), InternalError);
  EXPECT_THROW(sample_index(~0ULL, 0, 0, 4, 5), InternalError);
}

}  // namespace
}  // namespace switchyard::data
