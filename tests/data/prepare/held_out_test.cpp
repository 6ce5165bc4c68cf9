#include "data/prepare/held_out.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "data/text/utf8.h"

namespace switchyard::data {
namespace {

std::vector<Placement> place_all(double fraction, std::uint64_t seed,
                                 const std::vector<std::uint64_t>& sizes) {
  std::uint64_t total = 0;
  for (const std::uint64_t size : sizes) total += size;
  HeldOutRule rule(fraction, seed, total);
  for (std::size_t i = 0; i < sizes.size(); ++i) rule.observe(i, sizes[i]);
  std::vector<Placement> placements;
  for (std::size_t i = 0; i < sizes.size(); ++i) placements.push_back(rule.place(i, sizes[i]));
  return placements;
}

std::ptrdiff_t count(const std::vector<Placement>& placements, Placement wanted) {
  return std::count(placements.begin(), placements.end(), wanted);
}

TEST(HeldOutRule, TakesAboutTheFractionOfManyDocuments) {
  const auto placements = place_all(0.1, 1, std::vector<std::uint64_t>(20000, 100));
  EXPECT_NEAR(static_cast<double>(count(placements, Placement::validation)), 2000, 170);  // four deviations
  EXPECT_EQ(count(placements, Placement::divided), 0);
  EXPECT_NE(placements, place_all(0.1, 2, std::vector<std::uint64_t>(20000, 100)));
}

TEST(HeldOutRule, DividesDocumentsLargerThanTheHeldOutShare) {
  EXPECT_EQ(place_all(0.05, 1, {1000}), std::vector{Placement::divided});
  std::vector<std::uint64_t> sizes(1000, 10);
  sizes[3] = 100000;
  const auto placements = place_all(0.05, 1, sizes);
  EXPECT_EQ(placements[3], Placement::divided);
  EXPECT_EQ(count(placements, Placement::divided), 1);
}

TEST(HeldOutRule, NeverLeavesASplitEmpty) {
  for (std::uint64_t seed = 0; seed < 200; ++seed)
    for (const std::size_t documents : {2, 3, 5, 30}) {
      const auto few = place_all(0.04, seed, std::vector<std::uint64_t>(documents, 100));
      EXPECT_GT(count(few, Placement::validation) + count(few, Placement::divided), 0);
      const auto half = place_all(0.5, seed, std::vector<std::uint64_t>(documents, 100));
      EXPECT_GT(count(half, Placement::train) + count(half, Placement::divided), 0) << seed;
      EXPECT_GT(count(half, Placement::validation) + count(half, Placement::divided), 0) << seed;
    }
}

TEST(HeldOutRule, NothingIsHeldOutAtZero) {
  EXPECT_EQ(count(place_all(0, 1, {1, 2, 3, 1000}), Placement::train), 4);
}

std::uint64_t cut(const std::string& text, double fraction) {
  return dividing_point(text.size(), fraction,
                        [&](std::uint64_t offset, std::uint64_t size) { return text.substr(offset, size); });
}

TEST(DividingPoint, LiesBehindALineEndNearTheFraction) {
  std::string text;
  while (text.size() < 100000) text += "a line of text\n";
  const std::uint64_t point = cut(text, 0.1);
  EXPECT_EQ(text[point - 1], '\n');
  EXPECT_NEAR(static_cast<double>(point), 0.9 * static_cast<double>(text.size()), 15);
}

TEST(DividingPoint, NeverCutsACharacterNorLeavesAPartEmpty) {
  for (std::size_t count = 2; count < 40; ++count)
    for (const std::string unit : {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"})
      for (const double fraction : {0.01, 0.1, 0.5})
        for (const bool has_line_end : {false, true}) {
          std::string text;
          for (std::size_t i = 0; i < count; ++i) text += unit;
          if (has_line_end) text.back() = unit.size() == 1 ? '\n' : text.back();
          const std::uint64_t point = cut(text, fraction);
          ASSERT_GT(point, 0U) << count << ' ' << unit << ' ' << fraction;
          ASSERT_LT(point, text.size());
          ASSERT_EQ(find_invalid_utf8(text.substr(0, point)), std::nullopt);
          ASSERT_EQ(find_invalid_utf8(text.substr(point)), std::nullopt);
        }
}

TEST(DividingPoint, OneCharacterIsNotDivided) {
  EXPECT_EQ(cut("x", 0.5), 0U);
  EXPECT_EQ(cut("\xf0\x9f\x98\x80", 0.1), 0U);
}

}  // namespace
}  // namespace switchyard::data
