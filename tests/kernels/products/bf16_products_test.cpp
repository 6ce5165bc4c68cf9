// Products and attention in bf16 against their specifications: bf16 inputs are exact, sums are fp32 in some
// fixed order, and a result is rounded once where it is stored. And rows do not depend on their company.
#include <cmath>

#include "kernels/ops/attention.h"
#include "kernels/ops/grouped_linear.h"
#include "kernels/reference/attention.h"
#include "kernels/reference/grouped_linear.h"
#include "kernels/reference/linear.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using kernels::Tensor;
using kernels::Write;

// A bf16 tensor and its values.
struct Input {
  Input(Shape shape, const std::string& name)
      : tensor(as_bf16(f32_tensor(shape, random_values(shape.elements(), name)))),
        values(values_of(tensor)) {}
  operator ConstTensorView() const { return tensor; }
  Tensor tensor;
  std::vector<double> values;
};

double terms(std::int64_t reduction) {
  return std::sqrt(static_cast<double>(std::max<std::int64_t>(reduction, 1)));
}

class Bf16ProductsTest : public CpuOpTest {
 protected:
  void compare(std::int64_t N, std::int64_t O, std::int64_t I) {
    SCOPED_TRACE("N=" + std::to_string(N) + " O=" + std::to_string(O) + " I=" + std::to_string(I));
    const Input x({N, I}, "x"), weight({O, I}, "weight"), dy({N, O}, "dy");
    const auto bias = as_f32(random_values(O, "bias"));
    std::vector<double> y(dy.values.size());
    kernels::reference::linear_forward(y.data(), x.values.data(), weight.values.data(), bias.data(), N, O, I);
    const Tensor narrow(DType::bf16, {N, O}), wide(DType::f32, {N, O});
    kernels::linear_forward(context, narrow, x, weight, f32_tensor({O}, bias));
    kernels::linear_forward(context, wide, x, weight, f32_tensor({O}, bias));
    expect_close(values_of(narrow), y, bf16_tolerance(I), "y", terms(I));
    expect_close(values_of(wide), y, f32_tolerance(I), "y in f32", terms(I));
    EXPECT_TRUE(same_bits(narrow, as_bf16(wide)));

    const Input before({N, I}, "before");
    for (const Write write : {Write::overwrite, Write::add}) {
      std::vector<double> expected =
          write == Write::add ? before.values : std::vector<double>(before.values.size());
      kernels::reference::linear_backward_data(expected.data(), dy.values.data(), weight.values.data(), N, O,
                                               I);
      const Input dx({N, I}, "before");
      kernels::linear_backward_data(context, dx.tensor, dy, weight, write);
      expect_close(values_of(dx.tensor), expected, bf16_tolerance(O), "dx", terms(O));
    }

    std::vector<double> dweight(weight.values.size()), dbias(bias.size());
    kernels::reference::linear_backward_weight(dweight.data(), dy.values.data(), x.values.data(), N, O, I);
    kernels::reference::linear_backward_bias(dbias.data(), dy.values.data(), N, O);
    OwnedGradient weight_sums({O, I}), bias_sums({O});
    kernels::linear_backward_weight(context, weight_sums.view(), dy, x);
    kernels::linear_backward_bias(context, bias_sums.view(), dy);
    const std::int64_t block = std::min(N, kernels::kGradientBlockRows);
    expect_close(weight_sums.values(), dweight, f32_tolerance(block), "dweight", terms(N));
    expect_close(bias_sums.values(), dbias, f32_tolerance(block), "dbias", terms(N));
  }

  void attend(std::int64_t B, std::int64_t T, std::int64_t H, std::int64_t G, std::int64_t D,
              std::int64_t window) {
    SCOPED_TRACE("B=" + std::to_string(B) + " T=" + std::to_string(T) + " D=" + std::to_string(D));
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(D)));
    const Input q({B, T, H, D}, "q"), k({B, T, G, D}, "k"), v({B, T, G, D}, "v"), dy({B, T, H, D}, "dy");
    std::vector<double> y(q.values.size()), lse(static_cast<std::size_t>(B * H * T)), dq(q.values.size()),
        dk(k.values.size()), dv(v.values.size());
    kernels::reference::attention_forward(y.data(), lse.data(), q.values.data(), k.values.data(),
                                          v.values.data(), B, T, T, H, G, D, static_cast<double>(scale),
                                          window);
    const Tensor ty(DType::bf16, {B, T, H, D}), tlse(DType::f32, {B, H, T}), tdq(DType::bf16, {B, T, H, D}),
        tdk(DType::bf16, {B, T, G, D}), tdv(DType::bf16, {B, T, G, D});
    kernels::attention_forward(context, ty, tlse, q, k, v, scale, window);
    // Inside, weights of keys and their gradients may be rounded to bf16 before they meet values and queries.
    const double tolerance = 2 * bf16_tolerance(T);
    expect_close(values_of(ty), y, tolerance, "y", 1.0);
    expect_close(values_of(tlse), lse, f32_tolerance(T), "lse", 1.0);
    kernels::reference::attention_backward(dq.data(), dk.data(), dv.data(), dy.values.data(), q.values.data(),
                                           k.values.data(), v.values.data(), y.data(), lse.data(), B, T, H, G,
                                           D, static_cast<double>(scale), window);
    kernels::attention_backward(context, tdq, tdk, tdv, dy, q, k, v, ty, tlse, scale, window);
    const double several = terms(H / G);
    expect_close(values_of(tdq), dq, 2 * tolerance, "dq", 1.0);
    expect_close(values_of(tdk), dk, 2 * tolerance, "dk", several);
    expect_close(values_of(tdv), dv, 2 * tolerance, "dv", several);
  }
};

TEST_P(Bf16ProductsTest, AgreeWithTheReference) {
  for (std::int64_t n = 1; n <= 17; ++n) compare(n, 18 - n, 2 * n + 1);
  for (const std::int64_t n : {31, 32, 33, 63, 64, 65}) {
    compare(7, n, 40);
    compare(9, 20, n);
    compare(n, 49, 47);
  }
  compare(0, 16, 16);
  compare(5, 100, 1);
  compare(13, 130, 1030);
  compare(13, 1030, 50);
  compare(600, 35, 21);
  compare(33, 20, 2100);  // more than one block of the depth
  compare(9, 2100, 20);
}

TEST_P(Bf16ProductsTest, RowsHaveTheSameBitsAloneAndInAnyCompany) {
  constexpr std::int64_t kRows = 37, kOut = 53, kIn = 600;
  const Input x({kRows, kIn}, "x"), weight({kOut, kIn}, "weight"), dy({kRows, kOut}, "dy");
  const Input before({kRows, kIn}, "before");
  const Tensor y(DType::bf16, {kRows, kOut}), dx = as_bf16(as_f32(before));
  kernels::linear_forward(context, y, x, weight, {});
  kernels::linear_backward_data(context, dx, dy, weight, Write::add);
  for (std::int64_t first = 0; first < kRows; ++first) {
    for (const std::int64_t count : {std::int64_t{1}, std::int64_t{5}, std::int64_t{17}, kRows - first}) {
      if (first + count > kRows) continue;
      const Tensor some_y(DType::bf16, {count, kOut}),
          some_dx = as_bf16(as_f32(before.tensor.view().rows(first, count)));
      kernels::linear_forward(context, some_y, x.tensor.view().rows(first, count), weight, {});
      kernels::linear_backward_data(context, some_dx, dy.tensor.view().rows(first, count), weight,
                                    Write::add);
      EXPECT_TRUE(same_bits(some_y, y.view().rows(first, count))) << first << " " << count;
      EXPECT_TRUE(same_bits(some_dx, dx.view().rows(first, count))) << first << " " << count;
    }
  }
}

TEST_P(Bf16ProductsTest, GroupsHaveTheBitsOfDenseProducts) {
  constexpr std::int64_t kExperts = 3, kOut = 37, kIn = 70;
  const std::vector<std::int32_t> table = {2, 0, 5, 0, 5, 0, 1, 7, 40, 2, 47, 1, 1, 50, 300};
  constexpr std::int64_t kRows = 350;
  const auto segments = i32_tensor({5, 3}, table);
  const Input x({kRows, kIn}, "x"), weight({kExperts, kOut, kIn}, "weight"), dy({kRows, kOut}, "dy");
  const Tensor y(DType::bf16, {kRows, kOut}), dx(DType::bf16, {kRows, kIn});
  OwnedGradient sums({kExperts, kOut, kIn}), dense_sums({kExperts, kOut, kIn});
  std::fill_n(y.data<BFloat16>(), kRows * kOut, BFloat16(7.0F));
  kernels::grouped_linear_forward(context, y, x, weight, segments);
  kernels::grouped_linear_backward_data(context, dx, dy, weight, segments);
  kernels::grouped_linear_backward_weight(context, sums.view(), dy, x, segments);
  for (std::size_t s = 0; s < table.size(); s += 3) {
    const std::int64_t expert = table[s], first = table[s + 1], count = table[s + 2];
    const Tensor one_y(DType::bf16, {count, kOut}), one_dx(DType::bf16, {count, kIn});
    const ConstTensorView some_x = x.tensor.view().rows(first, count),
                          some_dy = dy.tensor.view().rows(first, count);
    const ConstTensorView matrix = weight.tensor.view().at(expert);
    kernels::linear_forward(context, one_y, some_x, matrix, {});
    kernels::linear_backward_data(context, one_dx, some_dy, matrix, Write::overwrite);
    const kernels::GradientSum all = dense_sums.view();
    kernels::linear_backward_weight(context, {all.sums.at(expert), all.overflow, all.limit}, some_dy, some_x);
    EXPECT_TRUE(same_bits(one_y, y.view().rows(first, count))) << s / 3;
    EXPECT_TRUE(same_bits(one_dx, dx.view().rows(first, count))) << s / 3;
  }
  EXPECT_TRUE(same_bits(sums.sums, dense_sums.sums));
  for (const std::int64_t row : {5, 6, 48, 49})  // outside every segment
    EXPECT_EQ(static_cast<float>(y.data<BFloat16>()[row * kOut]), 7.0F) << row;
}

TEST_P(Bf16ProductsTest, BlocksOfRowsMayBeAddedInAnyOrder) {
  constexpr std::int64_t kBlock = kernels::kGradientBlockRows;
  constexpr std::int64_t kRows = 2 * kBlock + 40, kOut = 21, kIn = 19;
  const Input x({kRows, kIn}, "x"), dy({kRows, kOut}, "dy");
  OwnedGradient whole({kOut, kIn}), parts({kOut, kIn});
  kernels::linear_backward_weight(context, whole.view(), dy, x);
  for (const std::int64_t begin : {2 * kBlock, std::int64_t{0}, kBlock}) {
    const std::int64_t count = std::min(kBlock, kRows - begin);
    kernels::linear_backward_weight(context, parts.view(), dy.tensor.view().rows(begin, count),
                                    x.tensor.view().rows(begin, count));
  }
  EXPECT_TRUE(same_bits(whole.sums, parts.sums));
}

TEST_P(Bf16ProductsTest, AttentionAgreesWithTheReference) {
  for (const std::int64_t D : {1, 2, 16, 17, 32, 64}) attend(2, 7, 2, 1, D, 0);
  attend(1, 100, 2, 2, 16, 0);
  attend(1, 200, 4, 2, 24, 0);
  attend(1, 150, 2, 1, 16, 40);
}

// Each thread stays within its own scratch memory.
TEST_P(Bf16ProductsTest, AttentionHasTheBitsOfOneThread) {
  constexpr std::int64_t B = 4, T = 100, H = 4, D = 40;
  const Input q({B, T, H, D}, "q"), k({B, T, H, D}, "k"), v({B, T, H, D}, "v");
  kernels::Context alone(1, context.isa());
  const Tensor expected(DType::bf16, {B, T, H, D}), expected_lse(DType::f32, {B, H, T});
  kernels::attention_forward(alone, expected, expected_lse, q, k, v, 0.2F);
  for (int repeat = 0; repeat < 20; ++repeat) {
    const Tensor y(DType::bf16, {B, T, H, D}), lse(DType::f32, {B, H, T});
    kernels::attention_forward(context, y, lse, q, k, v, 0.2F);
    ASSERT_TRUE(same_bits(y, expected) && same_bits(lse, expected_lse)) << repeat;
  }
}

TEST_P(Bf16ProductsTest, AttentionToACachedPrefixHasTheBitsOfTraining) {
  constexpr std::int64_t T = 130, H = 2, D = 24;
  const Input q({1, T, H, D}, "q"), k({1, T, 1, D}, "k"), v({1, T, 1, D}, "v");
  const Tensor y(DType::bf16, {1, T, H, D}), lse(DType::f32, {1, H, T});
  kernels::attention_forward(context, y, lse, q, k, v, 0.2F);
  for (const std::int64_t t : {0, 1, 63, 96, 129}) {
    const Tensor y1(DType::bf16, {1, 1, H, D}), lse1(DType::f32, {1, H, 1});
    const ConstTensorView keys =
        k.tensor.view().reshaped({T, 1, D}).rows(0, t + 1).reshaped({1, t + 1, 1, D});
    const ConstTensorView values =
        v.tensor.view().reshaped({T, 1, D}).rows(0, t + 1).reshaped({1, t + 1, 1, D});
    const ConstTensorView query = q.tensor.view().reshaped({T, H, D}).rows(t, 1).reshaped({1, 1, H, D});
    kernels::attention_forward(context, y1, lse1, query, keys, values, 0.2F);
    EXPECT_TRUE(same_bits(y1.view().reshaped({1, H, D}), y.view().reshaped({T, H, D}).rows(t, 1))) << t;
  }
}

SWITCHYARD_ON_ALL_BF16_LEVELS(Bf16ProductsTest);

}  // namespace
}  // namespace switchyard::test
