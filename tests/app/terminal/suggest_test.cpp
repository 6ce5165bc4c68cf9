#include "app/terminal/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace switchyard::app {
namespace {

TEST(EditDistance, CountsInsertDeleteReplaceAndSwap) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("heads", "head"), 1U);
  EXPECT_EQ(edit_distance("heads", "haeds"), 1U);
  EXPECT_EQ(edit_distance("width", "wodth"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("ca", "abc"), 3U) << "optimal string alignment, not the unrestricted distance of 2";
}

TEST(NearestName, FindsTheClosestOrNothing) {
  const std::vector<std::string> names = {"experts", "every", "top_k", "learning_rate"};
  EXPECT_EQ(nearest_name("expert", names), "experts");
  EXPECT_EQ(nearest_name("topk", names), "top_k");
  EXPECT_EQ(nearest_name("Top-K", names), "top_k");
  EXPECT_EQ(nearest_name("lerning_rat", names), "learning_rate");
  EXPECT_EQ(nearest_name("xyz", names), std::nullopt);
  EXPECT_EQ(nearest_name("", names), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(100'000, 'x'), names), std::nullopt);
}

TEST(NearestName, TakesTheFirstOfEquals) {
  const std::vector<std::string> names = {"beta1", "beta2"};
  EXPECT_EQ(nearest_name("beta", names), "beta1");
}

TEST(NearestName, DoesNotTakeAWordOfWhichNothingIsLeft) {
  const std::vector<std::string> names = {"a", "on"};
  EXPECT_EQ(nearest_name("b", names), std::nullopt);
}

}  // namespace
}  // namespace switchyard::app
