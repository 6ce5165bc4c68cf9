#include "kernels/ops/grouped_linear.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/grouped_linear.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using kernels::Write;
using Table = std::vector<std::int32_t>;

// Out of order, an expert twice, an expert without a segment, a segment without rows, rows in no segment.
const Table kUneven = {2, 0, 7, 0, 40, 300, 3, 12, 1, 2, 340, 20, 0, 8, 0};
constexpr std::int64_t kRows = 370, kExperts = 5, kOut = 37, kIn = 51;

struct Inputs {
  std::vector<double> x, weight, dy;
};

Inputs make_inputs(std::int64_t M, std::int64_t E, std::int64_t O, std::int64_t I) {
  return {as_f32(random_values(M * I, "x")), as_f32(random_values(E * O * I, "weight")),
          as_f32(random_values(M * O, "dy"))};
}

TEST(GroupedLinearReference, GradientsAgreeWithComplexStep) {
  const Table segments = {1, 0, 2, 0, 3, 1, 1, 4, 0};
  const Inputs in = make_inputs(5, 2, 3, 4);
  std::vector<double> dx(20), dweight(24);
  kernels::reference::grouped_linear_backward_data(dx.data(), in.dy.data(), in.weight.data(), segments.data(),
                                                   3, 3, 4);
  kernels::reference::grouped_linear_backward_weight(dweight.data(), in.dy.data(), in.x.data(),
                                                     segments.data(), 3, 3, 4);
  const auto expected = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> y(15);
        kernels::reference::grouped_linear_forward(y.data(), inputs[0].data(), inputs[1].data(),
                                                   segments.data(), 3, 3, 4);
        return y;
      },
      {in.x, in.weight}, in.dy);
  expect_close(dx, expected[0], 1e-10, "dx");
  expect_close(dweight, expected[1], 1e-10, "dweight");
}

class GroupedLinearTest : public CpuOpTest {};

TEST_P(GroupedLinearTest, AgreesWithTheReferenceAndLeavesOtherRowsAlone) {
  const Inputs in = make_inputs(kRows, kExperts, kOut, kIn);
  const auto x = f32_tensor({kRows, kIn}, in.x), dy = f32_tensor({kRows, kOut}, in.dy),
             weight = f32_tensor({kExperts, kOut, kIn}, in.weight);
  const auto segments = i32_tensor({5, 3}, kUneven);
  std::vector<double> y(in.dy.size(), 7.0), dx(in.x.size(), 7.0), dweight(in.weight.size());
  const auto ty = f32_tensor({kRows, kOut}, y), tdx = f32_tensor({kRows, kIn}, dx);
  kernels::reference::grouped_linear_forward(y.data(), in.x.data(), in.weight.data(), kUneven.data(), 5, kOut,
                                             kIn);
  for (std::size_t s = 0; s < 5; ++s) {
    const auto begin = dx.begin() + kUneven[3 * s + 1] * kIn;
    std::fill(begin, begin + kUneven[3 * s + 2] * kIn, 0.0);
  }
  kernels::reference::grouped_linear_backward_data(dx.data(), in.dy.data(), in.weight.data(), kUneven.data(),
                                                   5, kOut, kIn);
  kernels::reference::grouped_linear_backward_weight(dweight.data(), in.dy.data(), in.x.data(),
                                                     kUneven.data(), 5, kOut, kIn);
  kernels::grouped_linear_forward(context, ty, x, weight, segments);
  kernels::grouped_linear_backward_data(context, tdx, dy, weight, segments);
  OwnedGradient gradient({kExperts, kOut, kIn});
  for (int repeat = 0; repeat < 2; ++repeat)
    kernels::grouped_linear_backward_weight(context, gradient.view(), dy, x, segments);
  for (double& value : dweight) value *= 2;
  expect_close(values_of(ty), y, f32_tolerance(kIn), "y");
  expect_close(values_of(tdx), dx, f32_tolerance(kOut), "dx");
  expect_close(gradient.values(), dweight, f32_tolerance(256), "dweight");
  EXPECT_EQ(gradient.overflow(), 0);
}

TEST_P(GroupedLinearTest, EqualsLinearBitForBit) {
  const Inputs in = make_inputs(kRows, kExperts, kOut, kIn);
  const auto x = f32_tensor({kRows, kIn}, in.x), dy = f32_tensor({kRows, kOut}, in.dy),
             weight = f32_tensor({kExperts, kOut, kIn}, in.weight);
  kernels::Tensor y(DType::f32, {kRows, kOut}), dx(DType::f32, {kRows, kIn});
  const auto segments = i32_tensor({5, 3}, kUneven);
  OwnedGradient grouped({kExperts, kOut, kIn}), dense({kExperts, kOut, kIn});
  kernels::grouped_linear_forward(context, y, x, weight, segments);
  kernels::grouped_linear_backward_data(context, dx, dy, weight, segments);
  kernels::grouped_linear_backward_weight(context, grouped.view(), dy, x, segments);
  for (std::size_t s = 0; s < 5; ++s) {
    const std::int64_t expert = kUneven[3 * s], first = kUneven[3 * s + 1], rows = kUneven[3 * s + 2];
    kernels::Tensor dense_y(DType::f32, {rows, kOut}), dense_dx(DType::f32, {rows, kIn});
    const auto rows_x = x.view().rows(first, rows), rows_dy = dy.view().rows(first, rows);
    kernels::linear_forward(context, dense_y, rows_x, weight.view().at(expert), {});
    kernels::linear_backward_data(context, dense_dx, rows_dy, weight.view().at(expert), Write::overwrite);
    const kernels::GradientSum sum = dense.view();
    kernels::linear_backward_weight(context, {sum.sums.at(expert), sum.overflow, sum.limit}, rows_dy, rows_x);
    EXPECT_TRUE(same_bits(dense_y, y.view().rows(first, rows))) << s;
    EXPECT_TRUE(same_bits(dense_dx, dx.view().rows(first, rows))) << s;
  }
  EXPECT_TRUE(same_bits(grouped.sums, dense.sums));
}

TEST_P(GroupedLinearTest, ResultsDoNotDependOnThePlaceOfASegment) {
  // The same rows of one expert at the start and, after others, at the end of a longer batch.
  constexpr std::int64_t kSome = 11;
  const Inputs in = make_inputs(kRows, kExperts, kOut, kIn);
  const auto x = f32_tensor({kRows, kIn}, in.x), weight = f32_tensor({kExperts, kOut, kIn}, in.weight);
  kernels::Tensor moved_x(DType::f32, {kRows, kIn}), y(DType::f32, {kRows, kOut}),
      moved_y(DType::f32, {kRows, kOut});
  std::copy_n(x.data<float>(), kSome * kIn, moved_x.data<float>() + (kRows - kSome) * kIn);
  std::copy_n(x.data<float>(), (kRows - kSome) * kIn, moved_x.data<float>());
  kernels::grouped_linear_forward(context, y, x, weight, i32_tensor({1, 3}, {3, 0, kSome}));
  kernels::grouped_linear_forward(context, moved_y, moved_x, weight,
                                  i32_tensor({2, 3}, {1, 0, kRows - kSome, 3, kRows - kSome, kSome}));
  EXPECT_TRUE(same_bits(y.view().rows(0, kSome), moved_y.view().rows(kRows - kSome, kSome)));
}

TEST_P(GroupedLinearTest, AcceptsNoSegmentsAndNoRows) {
  kernels::Tensor x(DType::f32, {0, kIn}), y(DType::f32, {0, kOut}), weight(DType::f32, {2, kOut, kIn}),
      none(DType::i32, {0, 3}), empty(DType::i32, {2, 3});
  OwnedGradient gradient({2, kOut, kIn});
  for (const kernels::Tensor* segments : {&none, &empty}) {
    kernels::grouped_linear_forward(context, y, x, weight, *segments);
    kernels::grouped_linear_backward_data(context, x, y, weight, *segments);
    kernels::grouped_linear_backward_weight(context, gradient.view(), y, x, *segments);
  }
  for (const double value : gradient.values()) EXPECT_EQ(value, 0);
}

TEST_P(GroupedLinearTest, RefusesSegmentsOutsideTheRowsOrExperts) {
  kernels::Tensor x(DType::f32, {4, 3}), y(DType::f32, {4, 2}), weight(DType::f32, {2, 2, 3});
  EXPECT_THROW(kernels::grouped_linear_forward(context, y, x, weight, i32_tensor({1, 3}, {2, 0, 1})),
               InternalError);
  EXPECT_THROW(kernels::grouped_linear_forward(context, y, x, weight, i32_tensor({1, 3}, {0, 2, 3})),
               InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(GroupedLinearTest);

}  // namespace
}  // namespace switchyard::test
