#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/ops/router.h"
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

class RouterCountsTest : public CpuOpTest {};

TEST_P(RouterCountsTest, StatisticsCountAndSumInRowOrder) {
  for (const std::int64_t E : {1, 5, 16, 40}) {
    constexpr std::int64_t S = 3, kRun = 90, N = S * kRun;
    const std::int64_t K = std::min<std::int64_t>(E, 2);
    SCOPED_TRACE(E);
    RouterOptions options;
    options.renormalize = false;
    const auto bias = f32_tensor({E}, random_values(E, "bias"));
    const Routed routed(context, f32_tensor({N, E}, coarse_logits(N * E)), bias, K, options);
    auto* expert = routed.expert.data<std::int32_t>();
    expert[3] = -1;  // a dropped slot counts for nobody
    kernels::Tensor psum(DType::f64, {S, E}), top(DType::i64, {S, E}), load(DType::i64, {E}),
        row_sums(DType::f64, {2});
    for (int repeat = 0; repeat < 2; ++repeat)
      kernels::router_statistics(context, psum, top, load, row_sums, routed.probability, routed.lse,
                                 routed.expert);
    std::vector<double> wanted_sum(at(S * E)), wanted_top(at(S * E)), wanted_load(at(E));
    double entropy = 0, squares = 0;
    const float* p = routed.probability.data<float>();
    for (std::int64_t n = 0; n < N; ++n) {
      std::vector<std::int64_t> order(at(E));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](std::int64_t a, std::int64_t b) { return p[n * E + a] > p[n * E + b]; });
      for (std::int64_t k = 0; k < K; ++k) wanted_top[at(n / kRun * E + order[at(k)])] += 1;
      for (std::int64_t k = 0; k < K; ++k)
        if (expert[n * K + k] >= 0) wanted_load[at(expert[n * K + k])] += 1;
      for (std::int64_t e = 0; e < E; ++e) {
        const auto value = static_cast<double>(p[n * E + e]);
        wanted_sum[at(n / kRun * E + e)] += value;
        entropy -= value * std::log(value);
      }
      squares +=
          static_cast<double>(routed.lse.data<float>()[n]) * static_cast<double>(routed.lse.data<float>()[n]);
    }
    EXPECT_EQ(values_of(psum), wanted_sum);  // row order: every bit
    EXPECT_EQ(values_of(top), wanted_top);
    EXPECT_EQ(values_of(load), wanted_load);
    EXPECT_NEAR(row_sums.data<double>()[0], entropy, 1e-9 * std::abs(entropy));
    EXPECT_NEAR(row_sums.data<double>()[1], squares, 1e-13 * squares);
  }
}

TEST_P(RouterCountsTest, StatisticsOfNothingAndOfCertainty) {
  kernels::Tensor psum(DType::f64, {1, 2}), top(DType::i64, {1, 2}), load(DType::i64, {2}),
      row_sums(DType::f64, {2});
  psum.data<double>()[0] = 7;
  load.data<std::int64_t>()[1] = 7;
  kernels::router_statistics(context, psum, top, load, row_sums, kernels::Tensor(DType::f32, {0, 2}),
                             kernels::Tensor(DType::f32, {0}), kernels::Tensor(DType::i32, {0, 1}));
  EXPECT_EQ(values_of(psum), (std::vector<double>{0, 0}));
  EXPECT_EQ(values_of(load), (std::vector<double>{0, 0}));
  kernels::router_statistics(context, psum, top, load, row_sums, f32_tensor({1, 2}, {1, 0}),
                             f32_tensor({1}, {2}), i32_tensor({1, 1}, {0}));
  EXPECT_EQ(values_of(row_sums), (std::vector<double>{0, 4}));
}

TEST_P(RouterCountsTest, DropKeepsTheLargestOrTheFirst) {
  constexpr std::int64_t N = 120, E = 6, K = 2;
  RouterOptions options;
  options.softmax_after_top_k = true;
  const Routed routed(context, f32_tensor({N, E}, coarse_logits(N * E)), {}, K, options);
  const auto before = routed.experts();
  for (const std::int64_t capacity : {0, 1, 17, 40, 120}) {
    for (const bool by_probability : {false, true}) {
      SCOPED_TRACE(std::to_string(capacity) + (by_probability ? " by probability" : " by position"));
      std::vector<std::int32_t> wanted(before.size(), -1);
      for (std::int32_t e = 0; e < E; ++e) {
        std::vector<std::int64_t> slots;
        for (std::size_t slot = 0; slot < before.size(); ++slot)
          if (before[slot] == e) slots.push_back(static_cast<std::int64_t>(slot));
        if (by_probability)
          std::stable_sort(slots.begin(), slots.end(), [&](std::int64_t a, std::int64_t b) {
            return routed.weight.data<float>()[a] > routed.weight.data<float>()[b];
          });
        for (std::size_t i = 0; i < slots.size() && static_cast<std::int64_t>(i) < capacity; ++i)
          wanted[at(slots[i])] = e;
      }
      const auto expert = i32_tensor({N, K}, before);
      kernels::router_drop(context, expert, routed.weight, E, capacity, by_probability);
      EXPECT_EQ((std::vector<std::int32_t>(expert.data<std::int32_t>(), expert.data<std::int32_t>() + N * K)),
                wanted);
    }
  }
}

TEST_P(RouterCountsTest, DropOrdersUnusualWeights) {
  // All rows want expert 1: NaN goes first, then -1, then one of the two zeros (the later row).
  const auto expert = i32_tensor({6, 1}, {1, 1, 1, 1, 1, 1});
  const auto weight = f32_tensor({6, 1}, {NAN, 0.0, -1.0, -0.0, INFINITY, 0.5});
  kernels::router_drop(context, expert, weight, 2, 3, true);
  EXPECT_EQ(values_of(expert), (std::vector<double>{-1, 1, -1, -1, 1, 1}));
  kernels::router_drop(context, expert, weight, 2, 3, true);  // what fits stays
  EXPECT_EQ(values_of(expert), (std::vector<double>{-1, 1, -1, -1, 1, 1}));
  kernels::router_drop(context, kernels::Tensor(DType::i32, {0, 1}), kernels::Tensor(DType::f32, {0, 1}), 2,
                       3, true);
}

// Magnitudes so far apart that another order of the rows would give another sum.
TEST_P(RouterCountsTest, ProbabilitiesAreAddedInRowOrder) {
  constexpr std::int64_t N = 600, E = 20;
  std::vector<double> probability = random_values(N * E, "probability");
  for (std::int64_t i = 0; i < N * E; ++i)
    probability[at(i)] = std::ldexp(std::abs(probability[at(i)]), -static_cast<int>(i * 37 % 60));
  const auto p = f32_tensor({N, E}, probability);
  kernels::Tensor psum(DType::f64, {2, E}), top(DType::i64, {2, E}), load(DType::i64, {E}),
      row_sums(DType::f64, {2});
  kernels::router_statistics(context, psum, top, load, row_sums, p, kernels::Tensor(DType::f32, {N}),
                             kernels::Tensor(DType::i32, {N, 1}));
  std::vector<double> wanted(2 * E);
  double entropy = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    double row = 0;
    for (std::int64_t e = 0; e < E; ++e) {
      const auto value = static_cast<double>(p.data<float>()[n * E + e]);
      wanted[at(n / (N / 2) * E + e)] += value;
      row -= value * std::log(value);
    }
    entropy += row;
  }
  EXPECT_EQ(values_of(psum), wanted);
  EXPECT_NEAR(row_sums.data<double>()[0], entropy, 1e-13 * entropy);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(RouterCountsTest);

}  // namespace
}  // namespace switchyard::test
