#include "kernels/ops/adamw.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/adamw.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

kernels::AdamwScalars make_scalars(int step, double gradient_scale = 0.25) {
  kernels::AdamwScalars scalars;
  scalars.learning_rate = 3e-3F;
  scalars.beta1 = 0.9F;
  scalars.beta2 = 0.95F;
  scalars.epsilon = 1e-8F;
  scalars.weight_decay = 0.1F;
  scalars.bias_correction1 = static_cast<float>(1 - std::pow(0.9, step));
  scalars.bias_correction2 = static_cast<float>(1 - std::pow(0.95, step));
  scalars.gradient_scale = gradient_scale;
  return scalars;
}

kernels::Tensor sums_of(const std::vector<double>& gradients) {
  kernels::Tensor sums(DType::i64, {static_cast<std::int64_t>(gradients.size())});
  for (std::size_t i = 0; i < gradients.size(); ++i)
    sums.data<std::int64_t>()[i] = std::llrint(gradients[i] * 0x1p44);
  return sums;
}

class AdamwTest : public CpuOpTest {};

TEST_P(AdamwTest, AgreesWithTheReference) {
  for (const std::int64_t n : {0, 1, 3, 15, 16, 17, 31, 33, 64, 100, 20000}) {
    SCOPED_TRACE(n);
    std::vector<double> master = as_f32(random_values(n, "master")), m(master.size()), v(master.size());
    const auto tmaster = f32_tensor({n}, master), tm = f32_tensor({n}, m), tv = f32_tensor({n}, v);
    kernels::Tensor weight(DType::f32, {n});
    for (int step = 1; step <= 4; ++step) {
      const auto sums = sums_of(random_values(n, "gradient" + std::to_string(step)));
      std::vector<double> gradient = values_of(sums);
      for (double& value : gradient) value *= 0x1p-44 * 0.25;
      kernels::reference::adamw_step(master.data(), m.data(), v.data(), gradient.data(), n,
                                     make_scalars(step));
      kernels::adamw_step(context, tmaster, tm, tv, weight, sums, make_scalars(step));
    }
    expect_close(values_of(tmaster), master, f32_tolerance(4), "master");
    expect_close(values_of(tm), m, f32_tolerance(4), "m");
    expect_close(values_of(tv), v, f32_tolerance(4), "v");
    EXPECT_TRUE(same_bits(weight, tmaster));
  }
}

TEST_P(AdamwTest, DecaysWeightsApartFromTheGradient) {
  const auto master = f32_tensor({1}, {2.0}), m = f32_tensor({1}, {0.0}), v = f32_tensor({1}, {0.0});
  kernels::adamw_step(context, master, m, v, {}, sums_of({0.0}), make_scalars(1));
  EXPECT_FLOAT_EQ(master.data<float>()[0], 2.0F * (1.0F - 3e-3F * 0.1F));
  EXPECT_EQ(m.data<float>()[0], 0.0F);
}

TEST_P(AdamwTest, FirstStepMovesByTheLearningRate) {
  auto scalars = make_scalars(1, 1.0);
  scalars.weight_decay = 0;
  const auto master = f32_tensor({2}, {1.0, 1.0}), m = f32_tensor({2}, {0, 0}), v = f32_tensor({2}, {0, 0});
  kernels::adamw_step(context, master, m, v, {}, sums_of({0.5, -300.0}), scalars);
  EXPECT_NEAR(master.data<float>()[0], 1.0 - 3e-3, 1e-6);
  EXPECT_NEAR(master.data<float>()[1], 1.0 + 3e-3, 1e-6);
}

TEST_P(AdamwTest, WritesWeightsInEitherFormat) {
  constexpr std::int64_t kSize = 100;
  const auto values = random_values(kSize, "master");
  const auto sums = sums_of(random_values(kSize, "gradient"));
  const auto run = [&](kernels::Tensor* weight, bool in_place) {
    auto master = f32_tensor({kSize}, values);
    const kernels::Tensor m(DType::f32, {kSize}), v(DType::f32, {kSize});
    kernels::adamw_step(context, master, m, v, in_place ? TensorView(master) : TensorView(*weight), sums,
                        make_scalars(1));
    return master;
  };
  kernels::Tensor wide(DType::f32, {kSize}), narrow(DType::bf16, {kSize});
  const auto a = run(&wide, false), b = run(&narrow, false), c = run(nullptr, true);
  EXPECT_TRUE(same_bits(a, b));
  EXPECT_TRUE(same_bits(a, c));
  EXPECT_TRUE(same_bits(a, wide));
  for (std::int64_t i = 0; i < kSize; ++i)
    EXPECT_EQ(narrow.data<BFloat16>()[i].bits, BFloat16(a.data<float>()[i]).bits) << i;
}

TEST_P(AdamwTest, RoundsBf16WeightsToNearestEven) {
  auto scalars = make_scalars(1);
  scalars.learning_rate = 0;  // the master stays, whatever it is
  const std::vector<double> values = {1 + 0x1p-8, 1 + 3 * 0x1p-8, 1 + 0x1p-8 + 0x1p-20, -(1 + 0x1p-8), 3.3e38,
                                      NAN,        1e-40};
  const auto n = static_cast<std::int64_t>(values.size());
  scalars.weight_decay = 0;
  const auto master = f32_tensor({n}, values);
  const kernels::Tensor m(DType::f32, {n}), v(DType::f32, {n}), weight(DType::bf16, {n});
  kernels::adamw_step(context, master, m, v, weight, sums_of(std::vector<double>(values.size(), 0.0)),
                      scalars);
  const auto at = [&](int i) { return static_cast<float>(weight.data<BFloat16>()[i]); };
  EXPECT_EQ(at(0), 1.0F);
  EXPECT_EQ(at(1), 1.0F + 0x1p-6F);
  EXPECT_EQ(at(2), 1.0F + 0x1p-7F);
  EXPECT_EQ(at(3), -1.0F);
  EXPECT_TRUE(std::isfinite(at(4)));
  EXPECT_TRUE(std::isnan(at(5)));
  for (int i = 0; i < 7; ++i)
    EXPECT_EQ(weight.data<BFloat16>()[i].bits,
              BFloat16(static_cast<float>(values[static_cast<std::size_t>(i)])).bits)
        << i;
}

// Owners of other shards of the same tensor must not change a bit.
TEST_P(AdamwTest, ElementsAreIndependent) {
  constexpr std::int64_t kSize = 67;
  const auto sums = sums_of(random_values(kSize, "gradient"));
  const auto values = random_values(kSize, "master");
  const auto whole = f32_tensor({kSize}, values), parts = f32_tensor({kSize}, values);
  const kernels::Tensor m(DType::f32, {kSize}), v(DType::f32, {kSize}), m2(DType::f32, {kSize}),
      v2(DType::f32, {kSize});
  kernels::adamw_step(context, whole, m, v, {}, sums, make_scalars(3));
  for (std::int64_t begin = 0; begin < kSize; begin += 9) {
    const std::int64_t count = std::min<std::int64_t>(9, kSize - begin);
    kernels::adamw_step(context, parts.view().rows(begin, count), m2.view().rows(begin, count),
                        v2.view().rows(begin, count), {}, sums.view().rows(begin, count), make_scalars(3));
  }
  EXPECT_TRUE(same_bits(whole, parts));
  EXPECT_TRUE(same_bits(m, m2));
  EXPECT_TRUE(same_bits(v, v2));
}

TEST_P(AdamwTest, NormIsTheSameForAnySplit) {
  constexpr std::int64_t kSize = 11 * kernels::kNormBlock + 37;
  const auto sums = sums_of(random_values(kSize, "gradient"));
  kernels::WideSum whole;
  ASSERT_TRUE(kernels::sum_of_squares(context, whole, sums, 0.125));
  double expected = 0;
  for (const double value : values_of(sums)) expected += value * value * 0x1p-88 / 64;
  EXPECT_NEAR(whole.value(), expected, 1e-12 * expected);

  for (int trial = 0; trial < 20; ++trial) {
    // Cuts at random multiples of the block; the parts are added last to first and over a second sum.
    const auto noise = random_values(12, "cuts" + std::to_string(trial));
    std::vector<std::int64_t> cuts = {0};
    for (std::int64_t block = 1; block <= 11; ++block)
      if (noise[static_cast<std::size_t>(block)] > 0) cuts.push_back(block * kernels::kNormBlock);
    cuts.push_back(kSize);
    kernels::WideSum total, other;
    for (std::size_t i = cuts.size() - 1; i > 0; --i)
      ASSERT_TRUE(kernels::sum_of_squares(context, i % 2 == 0 ? total : other,
                                          sums.view().rows(cuts[i - 1], cuts[i] - cuts[i - 1]), 0.125));
    total.add(other);
    EXPECT_EQ(total, whole) << trial;
  }
}

TEST_P(AdamwTest, NormOfNothingAndOfTooMuch) {
  kernels::WideSum total;
  EXPECT_TRUE(kernels::sum_of_squares(context, total, kernels::Tensor(DType::i64, {0}), 1.0));
  EXPECT_EQ(total, kernels::WideSum());
  EXPECT_FALSE(kernels::sum_of_squares(context, total, sums_of({1.0, 1000.0}), 1e5));
  EXPECT_FALSE(kernels::sum_of_squares(context, total, sums_of({1.0}), NAN));
  EXPECT_EQ(total, kernels::WideSum());
}

SWITCHYARD_ON_ALL_CPU_LEVELS(AdamwTest);

// The optimizer uses no fused operations, so that even different levels agree in every bit.
TEST(AdamwLevels, GiveTheSameBits) {
  constexpr std::int64_t kSize = 777;
  const auto sums = sums_of(random_values(kSize, "gradient"));
  // Also sums that a double cannot hold, at the ends of the range and around the halves of words.
  std::int64_t* first = sums.data<std::int64_t>();
  const std::int64_t hard[] = {INT64_MAX,         INT64_MIN,        -1,
                               0x7fffffff,        0x80000000,       0xffffffff,
                               -0x80000001LL,     1LL << 53,        (1LL << 53) + 1,
                               (1LL << 62) + 257, -(1LL << 53) - 1, -(1LL << 54) - 3};
  std::copy(std::begin(hard), std::end(hard), first);
  std::vector<kernels::Tensor> masters;
  std::vector<kernels::WideSum> norms;
  for (const kernels::Isa isa : kernels::available_isas()) {
    kernels::Context context(1, isa);
    masters.push_back(f32_tensor({kSize}, random_values(kSize, "master")));
    const kernels::Tensor m(DType::f32, {kSize}), v(DType::f32, {kSize});
    for (int step = 1; step <= 3; ++step)
      kernels::adamw_step(context, masters.back(), m, v, {}, sums, make_scalars(step));
    norms.emplace_back();
    EXPECT_TRUE(kernels::sum_of_squares(context, norms.back(), sums, 0.3));
  }
  for (std::size_t i = 1; i < masters.size(); ++i) {
    EXPECT_TRUE(same_bits(masters[0], masters[i])) << i;
    EXPECT_EQ(norms[0], norms[i]) << i;
  }
}

TEST(WideSum, IsExactWhereDoublesAreNot) {
  kernels::WideSum sum;
  EXPECT_TRUE(sum.add(0x1p45));
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(sum.add(0x1p-80));
  EXPECT_TRUE(sum.add(-0x1p45));
  EXPECT_EQ(sum.value(), 1000 * 0x1p-80);
  EXPECT_TRUE(sum.add(-2000 * 0x1p-80));
  EXPECT_EQ(sum.value(), -1000 * 0x1p-80);
  EXPECT_EQ(sum.high, -1);
}

TEST(WideSum, RoundsToNearestEvenAndKnowsItsRange) {
  kernels::WideSum sum;
  EXPECT_TRUE(sum.add(0x1p-81));
  EXPECT_EQ(sum.value(), 0.0);
  EXPECT_TRUE(sum.add(3 * 0x1p-81));
  EXPECT_EQ(sum.value(), 2 * 0x1p-80);
  for (const double bad : {0x1p46, -0x1p46, double{INFINITY}, double{NAN}}) EXPECT_FALSE(sum.add(bad));
  EXPECT_EQ(sum.value(), 2 * 0x1p-80);
}

TEST(WideSum, SaturatesToInfinity) {
  kernels::WideSum sum;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(sum.add(0x1p46 - 0x1p-6));
  EXPECT_EQ(sum.value(), INFINITY);
  kernels::WideSum other;
  EXPECT_TRUE(other.add(1.0));
  other.add(sum);
  EXPECT_EQ(other.value(), INFINITY);
}

}  // namespace
}  // namespace switchyard::test
