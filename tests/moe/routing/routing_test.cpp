#include "moe/routing/routing.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/moe/support/tiny_model.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using moe::MoeConfig;
using ::testing::ElementsAre;

// One unit whose row n has the logits of column n: the rows of x are unit vectors.
class RoutingTest : public testing::Test {
 protected:
  // logits (N, E), row-major.
  moe::Routing route(std::int64_t B, std::int64_t T, const std::vector<double>& logits,
                     const std::vector<double>& bias = {}) {
    const std::int64_t N = B * T, E = config.moe.experts;
    layer.unit = {B, T};
    x = kernels::Tensor(DType::f32, {N, N});
    weight = kernels::Tensor(DType::f32, {E, N});
    for (std::int64_t n = 0; n < N; ++n) {
      x.data<float>()[n * N + n] = 1;
      for (std::int64_t e = 0; e < E; ++e)
        weight.data<float>()[e * N + n] = static_cast<float>(logits[static_cast<std::size_t>(n * E + e)]);
    }
    selection_bias = bias.empty() ? kernels::Tensor() : f32_tensor({E}, bias);
    return moe::route(layer, x, weight, selection_bias, statistics);
  }
  static std::vector<std::int32_t> experts(const moe::Routing& routing) {
    const auto* data = routing.expert.data<std::int32_t>();
    return {data, data + routing.expert.elements()};
  }
  // The choice with -1 for what was dropped.
  static std::vector<std::int32_t> kept(const moe::Routing& routing) {
    std::vector<std::int32_t> chosen = experts(routing);
    for (std::size_t slot = 0; slot < chosen.size(); ++slot)
      if (routing.row_of_slot.data<std::int32_t>()[slot] < 0) chosen[slot] = -1;
    return chosen;
  }

  moe::ModelConfig config = moe_config();
  kernels::Context context{1};
  kernels::Arena arena;
  moe::LayerContext layer{context, arena, arena, config, {}, {}, {}};
  moe::RoutingStatistics statistics;
  kernels::Tensor x, weight, selection_bias;
};

TEST_F(RoutingTest, EqualProbabilitiesCostTheCoefficientAndTiesGoToTheLowest) {
  config.moe.experts = 4;
  config.moe.aux_loss = 0.7;
  config.moe.sequence_aux_loss = 0.3;
  config.moe.z_loss = 0.5;
  const moe::Routing routing = route(2, 3, std::vector<double>(24, 0.0));
  EXPECT_THAT(statistics.load, ElementsAre(6, 6, 0, 0));
  EXPECT_NEAR(statistics.aux_loss, 0.7, 1e-6);
  EXPECT_NEAR(statistics.sequence_aux_loss, 0.3, 1e-6);
  EXPECT_NEAR(statistics.z_loss, 0.5 * std::log(4.0) * std::log(4.0), 1e-6);
  EXPECT_NEAR(statistics.entropy, std::log(4.0), 1e-6);
  EXPECT_EQ(routing.rows, 12);
}

TEST_F(RoutingTest, BalancingLossesFollowTheirDefinition) {
  config.moe.experts = 5;
  config.moe.aux_loss = 0.7;
  config.moe.sequence_aux_loss = 0.3;
  config.moe.z_loss = 0.5;
  const std::int64_t B = 3, T = 4, N = 12, E = 5, K = 2;
  const std::vector<double> logits = as_f32(random_values(N * E, "logits", 2.0));
  route(B, T, logits);
  // Each row's probabilities, then sums over the rows of a run: no code of the router is used.
  std::vector<std::vector<double>> p(N, std::vector<double>(E));
  double z = 0, entropy = 0;
  for (std::size_t n = 0; n < N; ++n) {
    double total = 0;
    for (std::size_t e = 0; e < E; ++e) total += std::exp(logits[n * E + e]);
    for (std::size_t e = 0; e < E; ++e) {
      p[n][e] = std::exp(logits[n * E + e]) / total;
      entropy -= p[n][e] * std::log(p[n][e]) / N;
    }
    z += std::log(total) * std::log(total) / N;
  }
  const auto switch_loss = [&](std::size_t begin, std::size_t end) {
    const auto rows = static_cast<double>(end - begin);
    double loss = 0;
    for (std::size_t e = 0; e < E; ++e) {
      double count = 0, sum = 0;
      for (std::size_t n = begin; n < end; ++n) {
        const auto larger = std::count_if(p[n].begin(), p[n].end(), [&](double q) { return q > p[n][e]; });
        count += larger < K ? 1 : 0;
        sum += p[n][e];
      }
      loss += E * (count / (K * rows)) * (sum / rows);
    }
    return loss;
  };
  EXPECT_NEAR(statistics.aux_loss, 0.7 * switch_loss(0, N), 1e-6);
  EXPECT_NEAR(statistics.sequence_aux_loss,
              0.3 * (switch_loss(0, 4) + switch_loss(4, 8) + switch_loss(8, 12)) / 3, 1e-6);
  EXPECT_NEAR(statistics.z_loss, 0.5 * z, 1e-6);
  EXPECT_NEAR(statistics.entropy, entropy, 1e-6);
}

TEST_F(RoutingTest, TheLossOverAllLayersIsThatOfTheirRowsTakenTogether) {
  config.layers = 2;
  config.moe.experts = 4;
  config.moe.top_k = 1;
  config.moe.renormalize = false;
  config.moe.aux_loss = 0.7;
  // Each layer sends all its rows to one expert, but not to the same: alone either is as unbalanced as can
  // be.
  const std::vector<double> first = {9, 0, 0, 0, 9, 0, 0, 0}, second = {0, 9, 0, 0, 0, 9, 0, 0};
  double alone = 0;
  for (const auto& logits : {first, second}) {
    route(1, 2, logits);
    alone += statistics.aux_loss;
  }
  config.moe.aux_loss_over = moe::AuxLossOver::all_layers;
  std::vector<moe::Routing> routings;
  std::vector<moe::RoutingStatistics> all;
  for (const auto& logits : {first, second}) {
    routings.push_back(route(1, 2, logits));
    EXPECT_EQ(statistics.aux_loss, 0.0);
    all.push_back(statistics);
  }
  moe::balance_over_layers(layer, {&routings[0], &routings[1]}, all);
  const double total = std::exp(9.0) + 3, likely = std::exp(9.0) / total, other = 1 / total;
  EXPECT_NEAR(alone, 2 * 0.7 * 4 * likely, 1e-6);
  EXPECT_NEAR(all[0].aux_loss + all[1].aux_loss, 0.7 * 4 * 2 * (0.5 * (likely + other) / 2), 1e-6);
  EXPECT_NEAR(all[0].aux_loss, all[1].aux_loss, 1e-9);
  for (const moe::Routing& routing : routings)
    EXPECT_EQ(values_of(routing.layers_count), (std::vector<double>{2, 2, 0, 0}));
}

TEST_F(RoutingTest, LossesIgnoreBiasAndGroupsButLoadsDoNot) {
  config.moe.aux_loss = 0.7;
  config.moe.sequence_aux_loss = 0.3;
  const std::vector<double> logits = random_values(6 * 6, "logits", 1.0);
  route(2, 3, logits);
  const moe::RoutingStatistics plain = statistics;
  route(2, 3, logits, {0, 0, 0, 0, 5, 5});
  EXPECT_THAT(statistics.load, ElementsAre(0, 0, 0, 0, 6, 6));
  EXPECT_EQ(statistics.aux_loss, plain.aux_loss);
  EXPECT_EQ(statistics.sequence_aux_loss, plain.sequence_aux_loss);
  config.moe.groups = 3;
  const moe::Routing routing = route(2, 3, logits);
  const std::vector<std::int32_t> chosen = experts(routing);
  for (std::size_t slot = 0; slot < chosen.size(); slot += 2)
    EXPECT_EQ(chosen[slot] / 2, chosen[slot + 1] / 2) << "both of one group";
  EXPECT_NE(statistics.load, plain.load);
  EXPECT_EQ(statistics.aux_loss, plain.aux_loss);
}

TEST_F(RoutingTest, LoadsAreCountedBeforeDropsAndWeightsStayAsTheyAre) {
  config.moe.experts = 2;
  config.moe.capacity_factor = 0.5;  // 4 rows, K = 1: an expert keeps 1
  config.moe.top_k = 1;
  config.moe.renormalize = false;
  const std::vector<double> logits = {1, 0, 3, 0, 2, 0, 0, 1};
  moe::Routing routing = route(1, 4, logits);
  EXPECT_THAT(experts(routing), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(kept(routing), ElementsAre(-1, 0, -1, 1));
  EXPECT_THAT(statistics.load, ElementsAre(3, 1));
  EXPECT_EQ(statistics.dropped, 2);
  EXPECT_EQ(routing.rows, 2);
  EXPECT_NEAR(routing.weight.data<float>()[1], 1 / (1 + std::exp(-3.0)), 1e-6);
  config.moe.drop_policy = moe::DropPolicy::position;
  routing = route(1, 4, logits);
  EXPECT_THAT(kept(routing), ElementsAre(0, -1, -1, 1));
}

TEST_F(RoutingTest, ADroppedChoiceStillSharesInTheDivisor) {
  // Row 0 chooses experts 0 and 1; expert 1 is full. Its other weight is not divided anew, so that its
  // gradient reaches the dropped expert's logit.
  config.moe.experts = 3;
  config.moe.capacity_factor = 0.5;
  const moe::Routing routing = route(1, 2, {1, 0, -3, 0, 1, -3});
  EXPECT_THAT(kept(routing), ElementsAre(0, -1, 1, -1));
  const auto first = static_cast<double>(routing.weight.data<float>()[0]);
  EXPECT_NEAR(first, 1 / (1 + std::exp(-1.0)), 1e-6);
  kernels::Tensor dlogits(DType::f32, {2, 3});
  moe::route_backward(layer, dlogits, f32_tensor({2, 2}, {1, 0, 1, 0}), routing);
  const double slope = first * (1.0 - first);
  expect_close(values_of(dlogits), {slope, -slope, 0, -slope, slope, 0}, 1e-5, "dlogits");
}

TEST_F(RoutingTest, OneSigmoidChoiceKeepsItsScoreAsWeight) {
  config.moe.experts = 2;
  config.moe.top_k = 1;
  config.moe.score = moe::RouterScore::sigmoid;
  const moe::Routing routing = route(1, 1, {0.5, -1});
  EXPECT_NEAR(routing.weight.data<float>()[0], 1 / (1 + std::exp(-0.5)), 1e-6);
}

TEST_F(RoutingTest, AUnitWithoutRowsIsRouted) {
  config.moe.aux_loss = 0.7;
  config.moe.sequence_aux_loss = 0.3;
  config.moe.z_loss = 0.5;
  const moe::Routing routing = route(0, 3, {});
  EXPECT_EQ(routing.rows, 0);
  EXPECT_THAT(statistics.load, ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_EQ(statistics.aux_loss + statistics.sequence_aux_loss + statistics.z_loss + statistics.entropy, 0.0);
  moe::route_backward(layer, kernels::Tensor(DType::f32, {0, 6}), kernels::Tensor(DType::f32, {0, 2}),
                      routing);
}

TEST(ExpertCapacity, IsTheFairShareTimesTheFactorRoundedUp) {
  MoeConfig config;
  config.experts = 8;
  config.top_k = 2;
  EXPECT_EQ(moe::expert_capacity(config, 100), 0);
  config.capacity_factor = 1.0;
  EXPECT_EQ(moe::expert_capacity(config, 100), 25);
  EXPECT_EQ(moe::expert_capacity(config, 101), 26);
  EXPECT_EQ(moe::expert_capacity(config, 1), 1);
  config.capacity_factor = 1.25;
  EXPECT_EQ(moe::expert_capacity(config, 100), 32);
}

TEST(BalancingBias, MovesByTheSignOfTheDifferenceToTheMean) {
  const kernels::Tensor bias = f32_tensor({4}, {1, 2, 3, 4});
  moe::update_balancing_bias(bias, {10, 5, 6, 3}, 0.25);  // mean 6
  EXPECT_THAT(values_of(bias), ElementsAre(0.75, 2.25, 3.0, 4.25));
  moe::update_balancing_bias(bias, {7, 7, 7, 7}, 0.25);
  EXPECT_THAT(values_of(bias), ElementsAre(0.75, 2.25, 3.0, 4.25));
  moe::update_balancing_bias(bias, {0, 0, 0, 0}, 0.25);
  EXPECT_THAT(values_of(bias), ElementsAre(0.75, 2.25, 3.0, 4.25));
}

TEST(BalancingBias, ComparesAsIntegers) {
  // The mean is 2^60 + 1/3: in floating point all three loads would equal it.
  const kernels::Tensor bias = f32_tensor({3}, {0, 0, 0});
  const std::int64_t large = std::int64_t{1} << 60;
  moe::update_balancing_bias(bias, {large, large, large + 1}, 1.0);
  EXPECT_THAT(values_of(bias), ElementsAre(1.0, 1.0, -1.0));
}

}  // namespace
}  // namespace switchyard::test
