#include "moe/model/step_totals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "kernels/runtime/random.h"
#include "parallel/communicators/local.h"

namespace switchyard::test {
namespace {

using moe::StepSummary;
using moe::StepTotals;
using moe::UnitResult;

constexpr std::int64_t kExperts = 3;
const std::vector<std::int64_t> kLayers = {1, 3};

UnitResult result_of(std::uint64_t unit) {
  const kernels::RandomStream stream(3, "results");
  UnitResult result;
  result.loss = stream.uniform(unit, 0) * 10;
  for (std::uint64_t m = 0; m < kLayers.size(); ++m) {
    moe::RoutingStatistics statistics;
    for (std::int64_t e = 0; e < kExperts; ++e)
      statistics.load.push_back(static_cast<std::int64_t>(unit) * 10 + e);
    statistics.dropped = static_cast<std::int64_t>(unit + m);
    statistics.entropy = stream.uniform(unit, 10 * m + 1);
    statistics.aux_loss = stream.uniform(unit, 10 * m + 2);
    statistics.sequence_aux_loss = stream.uniform(unit, 10 * m + 3);
    statistics.z_loss = stream.uniform(unit, 10 * m + 4);
    result.routing.push_back(statistics);
  }
  return result;
}

// Every number of a summary, for comparison of bits.
std::vector<double> numbers(const StepSummary& summary) {
  std::vector<double> all = {static_cast<double>(summary.units), summary.loss, summary.auxiliary_loss()};
  for (const moe::LayerSummary& layer : summary.layers) {
    for (const std::int64_t load : layer.load) all.push_back(static_cast<double>(load));
    all.insert(all.end(), {static_cast<double>(layer.layer), static_cast<double>(layer.dropped),
                           layer.entropy, layer.aux_loss, layer.sequence_aux_loss, layer.z_loss});
  }
  return all;
}

StepSummary summary_of(const std::vector<std::uint64_t>& units) {
  StepTotals totals(kLayers, kExperts);
  for (const std::uint64_t unit : units) totals.add(result_of(unit));
  const auto world = parallel::single_rank();
  return totals.reduce(*world);
}

TEST(StepTotals, AreMeansAndSumsOverUnits) {
  const StepSummary summary = summary_of({4, 7});
  EXPECT_TRUE(summary.finite);
  EXPECT_EQ(summary.units, 2);
  const UnitResult a = result_of(4), b = result_of(7);
  EXPECT_NEAR(summary.loss, (a.loss + b.loss) / 2, 1e-10);
  ASSERT_EQ(summary.layers.size(), 2U);
  const moe::LayerSummary& layer = summary.layers[1];
  EXPECT_EQ(layer.layer, 3);
  EXPECT_EQ(layer.load, (std::vector<std::int64_t>{110, 112, 114}));
  EXPECT_EQ(layer.dropped, 13);
  EXPECT_NEAR(layer.entropy, (a.routing[1].entropy + b.routing[1].entropy) / 2, 1e-10);
  EXPECT_NEAR(layer.aux_loss, (a.routing[1].aux_loss + b.routing[1].aux_loss) / 2, 1e-10);
  EXPECT_NEAR(layer.sequence_aux_loss, (a.routing[1].sequence_aux_loss + b.routing[1].sequence_aux_loss) / 2,
              1e-10);
  EXPECT_NEAR(layer.z_loss, (a.routing[1].z_loss + b.routing[1].z_loss) / 2, 1e-10);
  double auxiliary = 0;
  for (const moe::LayerSummary& l : summary.layers) auxiliary += l.aux_loss + l.sequence_aux_loss + l.z_loss;
  EXPECT_DOUBLE_EQ(summary.auxiliary_loss(), auxiliary);
}

TEST(StepTotals, DoNotDependOnOrderOrRanks) {
  std::vector<std::uint64_t> units = {0, 1, 2, 3, 4, 5, 6};
  const std::vector<double> expected = numbers(summary_of(units));
  std::reverse(units.begin(), units.end());
  EXPECT_EQ(numbers(summary_of(units)), expected);
  for (const int ranks : {2, 3, 4}) {
    std::mutex lock;
    parallel::run_local(ranks, [&](parallel::Communicator& world) {
      StepTotals totals(kLayers, kExperts);
      totals.add(result_of(99));
      totals.clear();
      for (const std::uint64_t unit : units)
        if (static_cast<int>(unit) % world.size() == world.rank()) totals.add(result_of(unit));
      const std::vector<double> actual = numbers(totals.reduce(world));
      const std::scoped_lock held(lock);
      EXPECT_EQ(actual, expected) << ranks << " ranks";
    });
  }
}

TEST(StepTotals, SayWhenANumberIsNone) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -5000.0}) {
    for (const bool in_layer : {false, true}) {
      StepTotals totals(kLayers, kExperts);
      totals.add(result_of(1));
      UnitResult result = result_of(2);
      (in_layer ? result.routing[1].z_loss : result.loss) = bad;
      totals.add(result);
      const auto world = parallel::single_rank();
      const StepSummary summary = totals.reduce(*world);
      EXPECT_FALSE(summary.finite) << bad;
      EXPECT_TRUE(std::isnan(summary.loss));
    }
  }
}

TEST(StepTotals, RefuseAResultOfAnotherModel) {
  StepTotals totals({1}, kExperts);
  EXPECT_THROW(totals.add(result_of(1)), InternalError);
}

}  // namespace
}  // namespace switchyard::test
