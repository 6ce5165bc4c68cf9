#include "kernels/ops/linear.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/linear.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using kernels::Write;

struct Inputs {
  std::int64_t N, O, I;
  std::vector<double> x, weight, bias, dy;
};

Inputs make_inputs(std::int64_t N, std::int64_t O, std::int64_t I) {
  return {N,
          O,
          I,
          as_f32(random_values(N * I, "x")),
          as_f32(random_values(O * I, "weight")),
          as_f32(random_values(O, "bias")),
          as_f32(random_values(N * O, "dy"))};
}

TEST(LinearReference, GradientsAgreeWithComplexStep) {
  const Inputs in = make_inputs(3, 4, 5);
  std::vector<double> dx(15), dweight(20), dbias(4);
  kernels::reference::linear_backward_data(dx.data(), in.dy.data(), in.weight.data(), 3, 4, 5);
  kernels::reference::linear_backward_weight(dweight.data(), in.dy.data(), in.x.data(), 3, 4, 5);
  kernels::reference::linear_backward_bias(dbias.data(), in.dy.data(), 3, 4);
  const auto expected = complex_step_gradients(
      [](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> y(12);
        kernels::reference::linear_forward(y.data(), inputs[0].data(), inputs[1].data(), inputs[2].data(), 3,
                                           4, 5);
        return y;
      },
      {in.x, in.weight, in.bias}, in.dy);
  expect_close(dx, expected[0], 1e-10, "dx");
  expect_close(dweight, expected[1], 1e-10, "dweight");
  expect_close(dbias, expected[2], 1e-10, "dbias");
}

class LinearTest : public CpuOpTest {
 protected:
  void compare(std::int64_t N, std::int64_t O, std::int64_t I) {
    SCOPED_TRACE("N=" + std::to_string(N) + " O=" + std::to_string(O) + " I=" + std::to_string(I));
    const Inputs in = make_inputs(N, O, I);
    const auto x = f32_tensor({N, I}, in.x), weight = f32_tensor({O, I}, in.weight),
               bias = f32_tensor({O}, in.bias), dy = f32_tensor({N, O}, in.dy);
    kernels::Tensor y(DType::f32, {N, O});
    for (const bool with_bias : {false, true}) {
      std::vector<double> expected(in.dy.size());
      kernels::reference::linear_forward(expected.data(), in.x.data(), in.weight.data(),
                                         with_bias ? in.bias.data() : nullptr, N, O, I);
      kernels::linear_forward(context, y, x, weight, with_bias ? ConstTensorView(bias) : ConstTensorView());
      expect_close(values_of(y), expected, f32_tolerance(I), "y", std::sqrt(static_cast<double>(I)));
    }

    const std::vector<double> before = as_f32(random_values(N * I, "before"));
    for (const Write write : {Write::overwrite, Write::add}) {
      std::vector<double> expected = write == Write::add ? before : std::vector<double>(before.size());
      kernels::reference::linear_backward_data(expected.data(), in.dy.data(), in.weight.data(), N, O, I);
      const auto dx = f32_tensor({N, I}, before);
      kernels::linear_backward_data(context, dx, dy, weight, write);
      expect_close(values_of(dx), expected, f32_tolerance(O), "dx", std::sqrt(static_cast<double>(O)));
    }

    std::vector<double> dweight(in.weight.size()), dbias(in.bias.size());
    kernels::reference::linear_backward_weight(dweight.data(), in.dy.data(), in.x.data(), N, O, I);
    kernels::reference::linear_backward_bias(dbias.data(), in.dy.data(), N, O);
    for (double& value : dweight) value *= 2;
    for (double& value : dbias) value *= 2;
    OwnedGradient weight_gradient({O, I}), bias_gradient({O});
    for (int repeat = 0; repeat < 2; ++repeat) {  // parameter gradients are added to
      kernels::linear_backward_weight(context, weight_gradient.view(), dy, x);
      kernels::linear_backward_bias(context, bias_gradient.view(), dy);
    }
    const double terms = std::sqrt(static_cast<double>(N));
    expect_close(weight_gradient.values(), dweight, f32_tolerance(std::min<std::int64_t>(N, 256)), "dweight",
                 terms);
    expect_close(bias_gradient.values(), dbias, f32_tolerance(std::min<std::int64_t>(N, 256)), "dbias",
                 terms);
    EXPECT_EQ(weight_gradient.overflow() + bias_gradient.overflow(), 0);
  }
};

TEST_P(LinearTest, AgreesWithTheReference) {
  for (std::int64_t n = 1; n <= 17; ++n) compare(n, 18 - n, 2 * n + 1);
  for (const std::int64_t n : {31, 33, 63, 65}) {
    compare(7, n, 40);
    compare(9, 20, n);
    compare(n, 49, 47);
  }
  compare(0, 16, 16);
  compare(5, 100, 1);
  compare(13, 130, 1030);  // more than one block of the depth, forward
  compare(13, 1030, 50);   // and backward
  compare(600, 35, 21);    // more than one block of rows
}

TEST_P(LinearTest, RowsHaveTheSameBitsAloneAndInAnyCompany) {
  constexpr std::int64_t kRows = 19, kOut = 53, kIn = 600;
  const Inputs in = make_inputs(kRows, kOut, kIn);
  const auto x = f32_tensor({kRows, kIn}, in.x), weight = f32_tensor({kOut, kIn}, in.weight),
             bias = f32_tensor({kOut}, in.bias), dy = f32_tensor({kRows, kOut}, in.dy);
  kernels::Tensor y(DType::f32, {kRows, kOut}), dx(DType::f32, {kRows, kIn});
  kernels::linear_forward(context, y, x, weight, bias);
  kernels::linear_backward_data(context, dx, dy, weight, Write::overwrite);
  for (std::int64_t first = 0; first < kRows; ++first) {
    for (const std::int64_t count : {std::int64_t{1}, std::int64_t{5}, kRows - first}) {
      if (first + count > kRows) continue;
      kernels::Tensor some_y(DType::f32, {count, kOut}), some_dx(DType::f32, {count, kIn});
      kernels::linear_forward(context, some_y, x.view().rows(first, count), weight, bias);
      kernels::linear_backward_data(context, some_dx, dy.view().rows(first, count), weight, Write::add);
      EXPECT_TRUE(same_bits(some_y, y.view().rows(first, count))) << first << " " << count;
      EXPECT_TRUE(same_bits(some_dx, dx.view().rows(first, count))) << first << " " << count;
    }
  }
}

TEST_P(LinearTest, ElementsAreChainsOfMultiplyAddsInIndexOrder) {
  constexpr std::int64_t kRows = 5, kOut = 37, kIn = 1100;
  const Inputs in = make_inputs(kRows, kOut, kIn);
  const auto x = f32_tensor({kRows, kIn}, in.x), weight = f32_tensor({kOut, kIn}, in.weight);
  kernels::Tensor y(DType::f32, {kRows, kOut}), expected(DType::f32, {kRows, kOut});
  kernels::linear_forward(context, y, x, weight, {});
  const bool fused = context.isa() != kernels::Isa::generic;
  for (std::int64_t n = 0; n < kRows; ++n) {
    for (std::int64_t o = 0; o < kOut; ++o) {
      float sum = 0;
      for (std::int64_t i = 0; i < kIn; ++i) {
        const float a = x.data<float>()[n * kIn + i];
        const float b = weight.data<float>()[o * kIn + i];
        sum = fused ? std::fma(a, b, sum) : a * b + sum;
      }
      expected.data<float>()[n * kOut + o] = sum;
    }
  }
  EXPECT_TRUE(same_bits(y, expected));
}

TEST_P(LinearTest, WriteAddContinuesTheChain) {
  constexpr std::int64_t kRows = 9, kOut = 40, kIn = 33;
  const Inputs in = make_inputs(kRows, kOut, kIn);
  const auto dy = f32_tensor({kRows, kOut}, in.dy), weight = f32_tensor({kOut, kIn}, in.weight);
  kernels::Tensor whole(DType::f32, {kRows, kIn}), parts(DType::f32, {kRows, kIn});
  kernels::linear_backward_data(context, whole, dy, weight, Write::overwrite);
  constexpr std::int64_t kCut = 11;  // the outputs in two calls: the second continues where the first ended
  kernels::Tensor head(DType::f32, {kRows, kCut}), rest(DType::f32, {kRows, kOut - kCut});
  for (std::int64_t n = 0; n < kRows; ++n) {
    const float* row = dy.data<float>() + n * kOut;
    std::copy(row, row + kCut, head.data<float>() + n * kCut);
    std::copy(row + kCut, row + kOut, rest.data<float>() + n * (kOut - kCut));
  }
  kernels::linear_backward_data(context, parts, head, weight.view().rows(0, kCut), Write::overwrite);
  kernels::linear_backward_data(context, parts, rest, weight.view().rows(kCut, kOut - kCut), Write::add);
  EXPECT_TRUE(same_bits(whole, parts));
}

TEST_P(LinearTest, BlocksOfRowsMayBeAddedInAnyOrder) {
  constexpr std::int64_t kBlock = kernels::kGradientBlockRows;
  constexpr std::int64_t kRows = 2 * kBlock + 40, kOut = 21, kIn = 19;
  const Inputs in = make_inputs(kRows, kOut, kIn);
  const auto x = f32_tensor({kRows, kIn}, in.x), dy = f32_tensor({kRows, kOut}, in.dy);
  OwnedGradient whole({kOut, kIn}), parts({kOut, kIn}), whole_bias({kOut}), parts_bias({kOut});
  kernels::linear_backward_weight(context, whole.view(), dy, x);
  kernels::linear_backward_bias(context, whole_bias.view(), dy);
  for (const std::int64_t begin : {2 * kBlock, std::int64_t{0}, kBlock}) {
    const std::int64_t count = std::min(kBlock, kRows - begin);
    kernels::linear_backward_weight(context, parts.view(), dy.view().rows(begin, count),
                                    x.view().rows(begin, count));
    kernels::linear_backward_bias(context, parts_bias.view(), dy.view().rows(begin, count));
  }
  EXPECT_TRUE(same_bits(whole.sums, parts.sums));
  EXPECT_TRUE(same_bits(whole_bias.sums, parts_bias.sums));
}

TEST_P(LinearTest, WeightGradientsAreOneChainForEachBlockOfRows) {
  constexpr std::int64_t kRows = kernels::kGradientBlockRows + 44, kOut = 3, kIn = 5;
  const Inputs in = make_inputs(kRows, kOut, kIn);
  const auto x = f32_tensor({kRows, kIn}, in.x), dy = f32_tensor({kRows, kOut}, in.dy);
  OwnedGradient gradient({kOut, kIn});
  kernels::linear_backward_weight(context, gradient.view(), dy, x);
  const bool fused = context.isa() != kernels::Isa::generic;
  for (std::int64_t o = 0; o < kOut; ++o) {
    for (std::int64_t i = 0; i < kIn; ++i) {
      std::int64_t expected = 0;
      for (std::int64_t begin = 0; begin < kRows; begin += kernels::kGradientBlockRows) {
        float sum = 0;
        for (std::int64_t n = begin; n < std::min(kRows, begin + kernels::kGradientBlockRows); ++n) {
          const float a = dy.data<float>()[n * kOut + o];
          const float b = x.data<float>()[n * kIn + i];
          sum = fused ? std::fma(a, b, sum) : a * b + sum;
        }
        expected += std::llrint(std::ldexp(static_cast<double>(sum), kernels::kGridExponent));
      }
      EXPECT_EQ(gradient.sums.data<std::int64_t>()[o * kIn + i], expected) << o << " " << i;
    }
  }
}

TEST_P(LinearTest, GradientsAreRoundedToTheNearestMultipleOfTheGrid) {
  std::vector<double> values;
  for (int exponent = -60; exponent <= 18; ++exponent)
    for (const double mantissa : {1.0, 1.5, 1.25, 1.75, 1.0000001192092896, 1.3333334, 1.9999999})
      for (const double sign : {1.0, -1.0}) values.push_back(sign * std::ldexp(mantissa, exponent));
  values = as_f32(values);
  const auto O = static_cast<std::int64_t>(values.size());
  OwnedGradient gradient({O}, 1);  // the widest limit: 2^62 grid units, 2^18
  kernels::linear_backward_bias(context, gradient.view(), f32_tensor({1, O}, values));
  std::int64_t beyond = 0;
  for (std::int64_t o = 0; o < O; ++o) {
    const double scaled = std::ldexp(values[static_cast<std::size_t>(o)], kernels::kGridExponent);
    const bool fits = std::abs(scaled) <= 0x1p62;
    beyond += fits ? 0 : 1;
    EXPECT_EQ(gradient.sums.data<std::int64_t>()[o], fits ? std::llrint(scaled) : 0) << scaled;
  }
  EXPECT_GT(beyond, 0);
  EXPECT_EQ(gradient.overflow(), beyond);
}

TEST_P(LinearTest, CountsGradientsThatAreNotFinite) {
  const Inputs in = make_inputs(2, 16, 20);
  auto dy = f32_tensor({2, 16}, in.dy);
  dy.data<float>()[3] = NAN;
  const auto x = f32_tensor({2, 20}, in.x);
  OwnedGradient weight({16, 20}), bias({16});
  kernels::linear_backward_weight(context, weight.view(), dy, x);
  kernels::linear_backward_bias(context, bias.view(), dy);
  EXPECT_EQ(weight.overflow(), 20);
  EXPECT_EQ(bias.overflow(), 1);
  EXPECT_EQ(weight.sums.data<std::int64_t>()[3 * 20], 0);
  EXPECT_NE(weight.sums.data<std::int64_t>()[2 * 20], 0);
}

TEST_P(LinearTest, RefusesShapesThatDoNotMatch) {
  kernels::Tensor x(DType::f32, {2, 3}), weight(DType::f32, {4, 5}), y(DType::f32, {2, 4});
  EXPECT_THROW(kernels::linear_forward(context, y, x, weight, {}), InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(LinearTest);

}  // namespace
}  // namespace switchyard::test
