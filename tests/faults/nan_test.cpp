// A NaN at each site on each rank: the step is skipped by all, and nothing of it reaches the weights.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/runtime/place.h"
#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

std::vector<std::int64_t> skipped(const Workshop& workshop, const std::string& run) {
  std::vector<std::int64_t> steps;
  for (const auto& step : workshop.steps(run))
    if (step["skipped"].get<bool>()) steps.push_back(step["step"].get<std::int64_t>());
  return steps;
}

// 12 sites on 4 ranks, one in each second step. What is left must be what a run keeps that loses the same
// steps to a spoilt loss on one rank: then nothing but the skipping can have changed a weight.
class NanInjection : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Precision, NanInjection, testing::Values("fp32", "bf16"),
                         [](const auto& suite) { return suite.param; });

TEST_P(NanInjection, OfEverySiteOnEveryRankSkipsTheStepAndChangesNothingElse) {
  const Workshop workshop;
  constexpr int kNanSites = 12, kRanks = 4;
  const std::vector<std::string> settings = {"train.steps=98", "train.evaluate_every=0", "checkpoint.every=0",
                                             "train.precision=" + GetParam()};
  std::vector<std::string> spoilt = Workshop::train("spoilt", settings);
  std::vector<std::string> reference = Workshop::train("reference", settings);
  spoilt.insert(spoilt.end(), {"--set", "parallel.expert=4"});
  std::vector<std::int64_t> steps;
  for (int i = 0; i < kNanSites * kRanks; ++i) {
    steps.push_back(2 * i + 2);
    spoilt.emplace_back("--inject");
    spoilt.push_back(fmt::format("nan@rank={},step={},site={}", i % kRanks, steps.back(),
                                 kernels::site_name(static_cast<kernels::Site>(i / kRanks))));
    reference.emplace_back("--inject");
    reference.push_back(fmt::format("nan@step={},site=loss", steps.back()));
  }
  const Outcome one = workshop.run(reference);
  ASSERT_EQ(one.code, 0) << one.err;
  const Outcome four = workshop.run_ranks(kRanks, spoilt);
  ASSERT_EQ(four.code, 0) << four.err;
  EXPECT_EQ(occurrences(four.err, "drill: "), kNanSites * kRanks) << four.err;
  EXPECT_EQ(skipped(workshop, "reference"), steps);
  EXPECT_EQ(skipped(workshop, "spoilt"), steps);
  EXPECT_EQ(workshop.digest("runs/spoilt"), workshop.digest("runs/reference"));
}

}  // namespace
}  // namespace switchyard::test
