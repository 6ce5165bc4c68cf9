#include "kernels/ops/router.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/reference/router.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using kernels::RouterOptions;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// Multiples of 1/32: many exact ties, and no two different scores so close that rounding could swap them.
std::vector<double> coarse_logits(std::int64_t count, const std::string& name = "logits") {
  std::vector<double> out = random_values(count, name, 1.5);
  for (double& value : out) value = std::round(value * 32) / 32;
  return out;
}

struct Case {
  const char* name;
  std::int64_t E;
  std::int64_t K;
  RouterOptions options;
  bool with_bias = false;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const auto add = [&](const char* name, std::int64_t E, std::int64_t K, bool sigmoid, bool after,
                       bool renormalize, float scale, std::int32_t groups, std::int32_t group_top_k,
                       bool bias) {
    RouterOptions options;
    options.sigmoid = sigmoid;
    options.softmax_after_top_k = after;
    options.renormalize = renormalize;
    options.scaling_factor = scale;
    options.groups = groups;
    options.group_top_k = group_top_k;
    options.z_coefficient = 0.01F;
    cases.push_back({name, E, K, options, bias});
  };
  for (const std::int64_t E : {3, 8, 16, 17, 33, 64}) {
    add("softmax, as it is", E, 2, false, false, false, 1.0F, 1, 1, false);
    add("softmax, renormalised", E, 2, false, false, true, 1.0F, 1, 1, false);
    add("softmax after the choice", E, 2, false, true, true, 1.0F, 1, 1, false);
    add("sigmoid", E, 3, true, false, true, 1.0F, 1, 1, false);
  }
  add("softmax, scaled, with bias", 9, 3, false, false, true, 2.5F, 1, 1, true);
  add("after the choice, scaled, with bias", 9, 3, false, true, false, 0.5F, 1, 1, true);
  add("sigmoid, not renormalised, scaled", 9, 3, true, false, false, 2.5F, 1, 1, true);
  add("sigmoid, K = 1", 8, 1, true, false, true, 1.5F, 1, 1, true);
  add("softmax, K = 1, renormalised", 8, 1, false, false, true, 1.0F, 1, 1, false);
  add("softmax, K = 1", 8, 1, false, false, false, 1.0F, 1, 1, false);
  add("one expert", 1, 1, false, false, false, 1.0F, 1, 1, false);
  add("all experts, softmax", 5, 5, false, false, false, 1.0F, 1, 1, false);
  add("all experts, sigmoid", 5, 5, true, false, true, 1.0F, 1, 1, true);
  add("groups, sigmoid, bias, scale", 32, 8, true, false, true, 2.5F, 8, 4, true);
  add("groups, softmax", 16, 4, false, false, false, 16.0F, 4, 2, false);
  add("groups of one", 6, 3, false, false, true, 1.0F, 6, 3, false);
  add("groups, fewer choices than groups", 12, 2, true, false, true, 1.0F, 4, 3, true);
  add("all groups kept", 12, 5, false, true, true, 1.0F, 3, 3, false);
  return cases;
}

std::vector<double> make_bias(const Case& c) {
  return as_f32(random_values(c.E, "bias", 0.3));
}

TEST(RouterReference, GradientsAgreeWithComplexStep) {
  constexpr std::int64_t N = 4, S = 2;
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(std::string(c.name) + " E=" + std::to_string(c.E));
    const auto logits = random_values(N * c.E, "logits", 1.5), bias = make_bias(c);
    const auto dweight = random_values(N * c.K, "dweight"),
               dprobability = random_values(S * c.E, "dprobability");
    const double* pbias = c.with_bias ? bias.data() : nullptr;
    std::vector<std::int32_t> expert(at(N * c.K));
    std::vector<double> weight(at(N * c.K)), probability(at(N * c.E)), lse(at(N)), dlogits(at(N * c.E));
    kernels::reference::router_forward(expert.data(), weight.data(), probability.data(), lse.data(),
                                       logits.data(), pbias, N, c.E, c.K, c.options);
    kernels::reference::router_backward(dlogits.data(), dweight.data(), dprobability.data(), S, expert.data(),
                                        logits.data(), N, c.E, c.K, c.options);
    // Weights, probabilities and lse^2 with their cotangents, all at once.
    std::vector<double> cotangent = dweight;
    for (std::int64_t n = 0; n < N; ++n)
      cotangent.insert(cotangent.end(), dprobability.begin() + n / (N / S) * c.E,
                       dprobability.begin() + (n / (N / S) + 1) * c.E);
    cotangent.insert(cotangent.end(), at(N), static_cast<double>(c.options.z_coefficient));
    const auto expected = complex_step_gradients(
        [&](const std::vector<std::vector<Complex>>& inputs) {
          std::vector<std::int32_t> chosen(at(N * c.K));
          std::vector<Complex> w(at(N * c.K)), p(at(N * c.E)), l(at(N));
          kernels::reference::router_forward(chosen.data(), w.data(), p.data(), l.data(), inputs[0].data(),
                                             pbias, N, c.E, c.K, c.options);
          EXPECT_EQ(chosen, expert);
          w.insert(w.end(), p.begin(), p.end());
          for (const Complex& value : l) w.push_back(value * value);
          return w;
        },
        {logits}, cotangent);
    expect_close(dlogits, expected[0], 1e-10, "dlogits");
  }
}

struct Routed {
  Routed(kernels::Context& context, ConstTensorView logits, ConstTensorView bias, std::int64_t K,
         const RouterOptions& options)
      : expert(DType::i32, {logits.dim(0), K}),
        weight(DType::f32, {logits.dim(0), K}),
        probability(DType::f32, logits.shape()),
        lse(DType::f32, {logits.dim(0)}) {
    kernels::router_forward(context, expert, weight, probability, lse, logits, bias, options);
  }
  std::vector<std::int32_t> experts() const {
    return {expert.data<std::int32_t>(), expert.data<std::int32_t>() + expert.view().elements()};
  }
  kernels::Tensor expert, weight, probability, lse;
};

class RouterTest : public CpuOpTest {
 protected:
  void compare(const Case& c, std::int64_t N, std::int64_t S, bool with_balance) {
    SCOPED_TRACE(std::string(c.name) + " E=" + std::to_string(c.E) + " N=" + std::to_string(N));
    const auto logits = coarse_logits(N * c.E), bias = make_bias(c);
    const auto dweight = as_f32(random_values(N * c.K, "dweight")),
               dprobability = as_f32(random_values(S * c.E, "dp"));
    std::vector<std::int32_t> expert(at(N * c.K));
    std::vector<double> weight(at(N * c.K)), probability(at(N * c.E)), lse(at(N)), dlogits(at(N * c.E));
    kernels::reference::router_forward(expert.data(), weight.data(), probability.data(), lse.data(),
                                       logits.data(), c.with_bias ? bias.data() : nullptr, N, c.E, c.K,
                                       c.options);
    kernels::reference::router_backward(dlogits.data(), dweight.data(),
                                        with_balance ? dprobability.data() : nullptr, S, expert.data(),
                                        logits.data(), N, c.E, c.K, c.options);
    const auto tlogits = f32_tensor({N, c.E}, logits), tbias = f32_tensor({c.E}, bias);
    const auto tdweight = f32_tensor({N, c.K}, dweight), tdprobability = f32_tensor({S, c.E}, dprobability);
    const Routed routed(context, tlogits, c.with_bias ? ConstTensorView(tbias) : ConstTensorView(), c.K,
                        c.options);
    EXPECT_EQ(routed.experts(), expert);
    expect_close(values_of(routed.weight), weight, f32_tolerance(c.E), "weight");
    expect_close(values_of(routed.probability), probability, f32_tolerance(c.E), "probability");
    expect_close(values_of(routed.lse), lse, f32_tolerance(c.E), "lse", 1.0);
    kernels::Tensor tdlogits(DType::f32, {N, c.E});
    for (int repeat = 0; repeat < 2; ++repeat)
      kernels::router_backward(
          context, tdlogits, tdweight, with_balance ? ConstTensorView(tdprobability) : ConstTensorView(),
          routed.expert, routed.weight, routed.probability, routed.lse, tlogits, c.options);
    expect_close(values_of(tdlogits), dlogits, f32_tolerance(c.E) * 2, "dlogits",
                 static_cast<double>(c.options.scaling_factor));
  }
};

TEST_P(RouterTest, AgreesWithTheReference) {
  for (const Case& c : all_cases()) {
    compare(c, 6, 3, true);
    compare(c, 5, 1, false);
  }
  compare(all_cases()[1], 0, 1, true);
  compare(all_cases()[10], 300, 2, true);
}

// The published rules, each written down plainly and apart from the reference above.

// Mixtral: softmax over all experts, the two largest, divided by their sum.
TEST_P(RouterTest, MixtralRule) {
  const std::vector<double> logits = {1.0, 3.0, 2.0, 0.5};
  RouterOptions options;
  options.renormalize = true;
  const Routed routed(context, f32_tensor({1, 4}, logits), {}, 2, options);
  EXPECT_EQ(routed.experts(), (std::vector<std::int32_t>{1, 2}));
  const double p1 = std::exp(3.0), p2 = std::exp(2.0);
  EXPECT_NEAR(routed.weight.data<float>()[0], p1 / (p1 + p2), 1e-6);
  EXPECT_NEAR(routed.weight.data<float>()[1], p2 / (p1 + p2), 1e-6);
}

// OLMoE: as Mixtral without the division, so that the weights sum to less than 1.
TEST_P(RouterTest, OlmoeRule) {
  RouterOptions options;
  options.renormalize = false;
  const Routed routed(context, f32_tensor({1, 4}, {1.0, 3.0, 2.0, 0.5}), {}, 2, options);
  const double total = std::exp(1.0) + std::exp(3.0) + std::exp(2.0) + std::exp(0.5);
  EXPECT_NEAR(routed.weight.data<float>()[0], std::exp(3.0) / total, 1e-6);
  EXPECT_NEAR(routed.weight.data<float>()[1], std::exp(2.0) / total, 1e-6);
}

// gpt-oss: the largest logits, softmax over those alone. Equal to Mixtral's rule but for rounding.
TEST_P(RouterTest, SoftmaxAfterTheChoiceEqualsRenormalisedSoftmaxBefore) {
  constexpr std::int64_t N = 200, E = 24, K = 4;
  const auto logits = f32_tensor({N, E}, coarse_logits(N * E));
  RouterOptions before, after;
  before.renormalize = true;
  after.softmax_after_top_k = true;
  const Routed a(context, logits, {}, K, before), b(context, logits, {}, K, after);
  EXPECT_EQ(a.experts(), b.experts());
  expect_close(values_of(a.weight), values_of(b.weight), f32_tolerance(E), "weight");
  EXPECT_TRUE(same_bits(a.probability, b.probability));
  const auto dweight = f32_tensor({N, K}, random_values(N * K, "dweight"));
  kernels::Tensor da(DType::f32, {N, E}), db(DType::f32, {N, E});
  kernels::router_backward(context, da, dweight, {}, a.expert, a.weight, a.probability, a.lse, logits,
                           before);
  kernels::router_backward(context, db, dweight, {}, b.expert, b.weight, b.probability, b.lse, logits, after);
  expect_close(values_of(da), values_of(db), f32_tolerance(E), "dlogits", 1.0);
}

// DeepSeek-V3: sigmoid scores; bias for the choice only; 8 groups judged by their two best biased scores, 4
// kept; 8 experts of those; weights are the plain scores over their sum, times 2.5.
TEST_P(RouterTest, DeepSeekRule) {
  constexpr std::int64_t N = 50, E = 64, K = 8, kGroups = 8, kKept = 4, kSize = E / kGroups;
  const auto logits = coarse_logits(N * E), bias = as_f32(random_values(E, "bias", 0.2));
  RouterOptions options;
  options.sigmoid = true;
  options.groups = kGroups;
  options.group_top_k = kKept;
  options.scaling_factor = 2.5F;
  const Routed routed(context, f32_tensor({N, E}, logits), f32_tensor({E}, bias), K, options);
  for (std::int64_t n = 0; n < N; ++n) {
    std::vector<double> score(E), key(E), group_key(kGroups);
    for (std::int64_t e = 0; e < E; ++e) {
      score[at(e)] = 1 / (1 + std::exp(-logits[at(n * E + e)]));
      key[at(e)] = score[at(e)] + bias[at(e)];
    }
    for (std::int64_t g = 0; g < kGroups; ++g) {
      std::vector<double> members(key.begin() + g * kSize, key.begin() + (g + 1) * kSize);
      std::sort(members.rbegin(), members.rend());
      group_key[at(g)] = members[0] + members[1];
    }
    std::vector<std::int64_t> groups(kGroups), experts;
    std::iota(groups.begin(), groups.end(), 0);
    std::stable_sort(groups.begin(), groups.end(),
                     [&](std::int64_t a, std::int64_t b) { return group_key[at(a)] > group_key[at(b)]; });
    groups.resize(kKept);
    for (std::int64_t e = 0; e < E; ++e)
      if (std::find(groups.begin(), groups.end(), e / kSize) != groups.end()) experts.push_back(e);
    std::stable_sort(experts.begin(), experts.end(),
                     [&](std::int64_t a, std::int64_t b) { return key[at(a)] > key[at(b)]; });
    double total = 0;
    for (std::int64_t k = 0; k < K; ++k) total += score[at(experts[at(k)])];
    for (std::int64_t k = 0; k < K; ++k) {
      EXPECT_EQ(routed.expert.data<std::int32_t>()[n * K + k], experts[at(k)]) << n << " " << k;
      EXPECT_NEAR(routed.weight.data<float>()[n * K + k], 2.5 * score[at(experts[at(k)])] / total, 1e-6);
    }
  }
}

TEST_P(RouterTest, BiasChangesTheChoiceAndNothingElse) {
  RouterOptions options;
  options.sigmoid = true;
  const auto logits = f32_tensor({1, 3}, {2.0, 1.0, 0.0});
  const Routed plain(context, logits, {}, 1, options);
  const Routed biased(context, logits, f32_tensor({3}, {0, 0, 1}), 1, options);
  EXPECT_EQ(plain.experts(), (std::vector<std::int32_t>{0}));
  EXPECT_EQ(biased.experts(), (std::vector<std::int32_t>{2}));
  EXPECT_EQ(biased.weight.data<float>()[0], 0.5F);  // sigmoid(0); K = 1 is not divided
  EXPECT_TRUE(same_bits(plain.probability, biased.probability));
  EXPECT_TRUE(same_bits(plain.lse, biased.lse));
}

TEST_P(RouterTest, TiesGoToTheLowestIndex) {
  for (const bool sigmoid : {false, true}) {
    RouterOptions options;
    options.sigmoid = sigmoid;
    const auto logits = f32_tensor({2, 20}, std::vector<double>(40, 0.25));
    EXPECT_EQ(Routed(context, logits, {}, 3, options).experts(),
              (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2}));
    options.groups = 5;
    options.group_top_k = 2;
    EXPECT_EQ(Routed(context, logits, {}, 5, options).experts(),
              (std::vector<std::int32_t>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4}));
  }
  RouterOptions after;
  after.softmax_after_top_k = true;
  EXPECT_EQ(Routed(context, f32_tensor({1, 4}, {0.0, -0.0, 1.0, 1.0}), {}, 3, after).experts(),
            (std::vector<std::int32_t>{2, 3, 0}));
}

TEST_P(RouterTest, NaNRanksLastAndShowsInTheWeights) {
  for (const bool sigmoid : {false, true}) {
    for (const bool after : {false, true}) {
      for (const std::int32_t groups : {1, 2}) {
        if (sigmoid && after) continue;
        RouterOptions options;
        options.sigmoid = sigmoid;
        options.softmax_after_top_k = after;
        options.groups = groups;
        for (const std::vector<double>& row :
             std::vector<std::vector<double>>{{NAN, 3, 2, 1},
                                              {NAN, NAN, NAN, NAN},
                                              {INFINITY, 0, 1, 2},
                                              {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                              {NAN, -INFINITY, NAN, 0}}) {
          // A sound row beside it keeps its bits.
          std::vector<double> two = row;
          two.insert(two.end(), {0, 1, 2, 3});
          const auto logits = f32_tensor({2, 4}, two);
          const Routed routed(context, logits, {}, 2, options);
          const auto experts = routed.experts();
          for (const std::int32_t e : experts) EXPECT_TRUE(e >= 0 && e < 4);
          EXPECT_NE(experts[0], experts[1]);
          for (int k = 0; k < 2; ++k) {
            EXPECT_TRUE(std::isnan(routed.weight.data<float>()[k]));
            EXPECT_TRUE(std::isfinite(routed.weight.data<float>()[2 + k]));
          }
          kernels::Tensor dlogits(DType::f32, {2, 4});
          kernels::router_backward(context, dlogits, f32_tensor({2, 2}, {1, 2, 3, 4}), {}, routed.expert,
                                   routed.weight, routed.probability, routed.lse, logits, options);
          for (int e = 4; e < 8; ++e) EXPECT_TRUE(std::isfinite(dlogits.data<float>()[e]));
        }
      }
    }
  }
  RouterOptions sigmoid;
  sigmoid.sigmoid = true;
  EXPECT_EQ(Routed(context, f32_tensor({1, 4}, {NAN, 3, 2, 1}), {}, 3, sigmoid).experts(),
            (std::vector<std::int32_t>{1, 2, 3}));
}

TEST_P(RouterTest, RowsAreIndependent) {
  constexpr std::int64_t N = 37;
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(c.name);
    const auto logits = f32_tensor({N, c.E}, random_values(N * c.E, "logits"));
    const auto bias = f32_tensor({c.E}, make_bias(c));
    const auto dweight = f32_tensor({N, c.K}, random_values(N * c.K, "dweight"));
    const ConstTensorView used = c.with_bias ? ConstTensorView(bias) : ConstTensorView();
    const Routed all(context, logits, used, c.K, c.options);
    kernels::Tensor d(DType::f32, {N, c.E});
    kernels::router_backward(context, d, dweight, {}, all.expert, all.weight, all.probability, all.lse,
                             logits, c.options);
    for (const std::int64_t n : {std::int64_t{0}, std::int64_t{17}, N - 1}) {
      const Routed one(context, logits.view().rows(n, 1), used, c.K, c.options);
      kernels::Tensor d1(DType::f32, {1, c.E});
      kernels::router_backward(context, d1, dweight.view().rows(n, 1), {}, one.expert, one.weight,
                               one.probability, one.lse, logits.view().rows(n, 1), c.options);
      EXPECT_TRUE(same_bits(one.expert, all.expert.view().rows(n, 1)));
      EXPECT_TRUE(same_bits(one.weight, all.weight.view().rows(n, 1)));
      EXPECT_TRUE(same_bits(one.probability, all.probability.view().rows(n, 1)));
      EXPECT_TRUE(same_bits(one.lse, all.lse.view().rows(n, 1)));
      EXPECT_TRUE(same_bits(d1, d.view().rows(n, 1)));
    }
  }
}

TEST_P(RouterTest, RefusesImpossibleChoices) {
  const auto logits = f32_tensor({1, 6}, random_values(6, "logits"));
  const auto refuses = [&](std::int64_t K, const RouterOptions& options) {
    EXPECT_THROW(Routed(context, logits, {}, K, options), InternalError);
  };
  RouterOptions options;
  refuses(7, options);
  refuses(0, options);
  options.groups = 4;
  refuses(2, options);  // 4 does not divide 6
  options.groups = 3;
  options.group_top_k = 1;
  refuses(3, options);  // one group of two leaves fewer than three
  options = {};
  options.sigmoid = options.softmax_after_top_k = true;
  refuses(2, options);
  // Backward needs the choice as it was: a dropped slot's score is part of the sum that divides the others.
  const Routed routed(context, logits, {}, 1, {});
  routed.expert.data<std::int32_t>()[0] = -1;
  const kernels::Tensor dlogits(DType::f32, {1, 6}), dweight(DType::f32, {1, 1});
  EXPECT_THROW(kernels::router_backward(context, dlogits, dweight, {}, routed.expert, routed.weight,
                                        routed.probability, routed.lse, logits, {}),
               InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(RouterTest);

}  // namespace
}  // namespace switchyard::test
