#include "kernels/ops/rms_norm.h"

#include "kernels/reference/rms_norm.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

constexpr double kEpsilon = 1e-5;

struct Inputs {
  std::int64_t N;
  std::int64_t C;
  std::vector<double> x, weight, dy;
};

Inputs make_inputs(std::int64_t N, std::int64_t C) {
  return {N, C, as_f32(random_values(N * C, "x")), as_f32(random_values(C, "weight")),
          as_f32(random_values(N * C, "dy"))};
}

TEST(RmsNormReference, GradientsAgreeWithComplexStep) {
  const Inputs in = make_inputs(3, 7);
  std::vector<double> y(21), rstd(3), dx(21), dweight(7);
  kernels::reference::rms_norm_forward(y.data(), rstd.data(), in.x.data(), in.weight.data(), 3, 7, kEpsilon);
  kernels::reference::rms_norm_backward(dx.data(), dweight.data(), in.dy.data(), in.x.data(),
                                        in.weight.data(), rstd.data(), 3, 7);
  const auto expected = complex_step_gradients(
      [](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> out(21), statistics(3);
        kernels::reference::rms_norm_forward(out.data(), statistics.data(), inputs[0].data(),
                                             inputs[1].data(), 3, 7, kEpsilon);
        return out;
      },
      {in.x, in.weight}, in.dy);
  expect_close(dx, expected[0], 1e-10, "dx");
  expect_close(dweight, expected[1], 1e-10, "dweight");
}

class RmsNormTest : public CpuOpTest {
 protected:
  void compare(std::int64_t N, std::int64_t C, bool with_residual) {
    SCOPED_TRACE("N=" + std::to_string(N) + " C=" + std::to_string(C));
    const Inputs in = make_inputs(N, C);
    const auto size = static_cast<std::size_t>(N * C);
    std::vector<double> y(size), rstd(static_cast<std::size_t>(N)), dx(size),
        dweight(static_cast<std::size_t>(C));
    kernels::reference::rms_norm_forward(y.data(), rstd.data(), in.x.data(), in.weight.data(), N, C,
                                         kEpsilon);
    kernels::reference::rms_norm_backward(dx.data(), dweight.data(), in.dy.data(), in.x.data(),
                                          in.weight.data(), rstd.data(), N, C);
    const std::vector<double> residual = as_f32(random_values(N * C, "residual"));
    if (with_residual)
      for (std::size_t i = 0; i < size; ++i) dx[i] += residual[i];

    const auto tx = f32_tensor({N, C}, in.x), tw = f32_tensor({C}, in.weight),
               tdy = f32_tensor({N, C}, in.dy);
    const auto tresidual = f32_tensor({N, C}, residual);
    kernels::Tensor ty(DType::f32, {N, C}), trstd(DType::f32, {N}), tdx(DType::f32, {N, C});
    OwnedGradient gradient({C});
    kernels::rms_norm_forward(context, ty, trstd, tx, tw, kEpsilon);
    expect_close(values_of(ty), y, f32_tolerance(C), "y");
    // Twice: the input gradient is overwritten, the parameter gradient is added to.
    for (int repeat = 0; repeat < 2; ++repeat)
      kernels::rms_norm_backward(context, tdx, gradient.view(), tdy, tx, tw, trstd,
                                 with_residual ? ConstTensorView(tresidual) : ConstTensorView());
    for (double& value : dweight) value *= 2;
    expect_close(values_of(tdx), dx, f32_tolerance(C), "dx", 1.0);
    expect_close(gradient.values(), dweight, f32_tolerance(N), "dweight");
    EXPECT_EQ(gradient.overflow(), 0);
  }
};

TEST_P(RmsNormTest, AgreesWithTheReference) {
  for (const std::int64_t C : {1, 3, 15, 16, 17, 31, 64, 100}) compare(5, C, C % 2 == 0);
  compare(0, 16, false);
  compare(300, 33, true);  // more than one gradient block
}

TEST_P(RmsNormTest, RowsAreIndependent) {
  constexpr std::int64_t kRows = 9, kWidth = 37;
  const Inputs in = make_inputs(kRows, kWidth);
  const auto x = f32_tensor({kRows, kWidth}, in.x), w = f32_tensor({kWidth}, in.weight);
  const auto dy = f32_tensor({kRows, kWidth}, in.dy);
  kernels::Tensor y(DType::f32, {kRows, kWidth}), rstd(DType::f32, {kRows}), dx(DType::f32, {kRows, kWidth});
  OwnedGradient gradient({kWidth});
  kernels::rms_norm_forward(context, y, rstd, x, w, kEpsilon);
  kernels::rms_norm_backward(context, dx, gradient.view(), dy, x, w, rstd, {});
  for (std::int64_t row = 0; row < kRows; ++row) {
    kernels::Tensor y1(DType::f32, {1, kWidth}), rstd1(DType::f32, {1}), dx1(DType::f32, {1, kWidth});
    kernels::rms_norm_forward(context, y1, rstd1, x.view().rows(row, 1), w, kEpsilon);
    kernels::rms_norm_backward(context, dx1, gradient.view(), dy.view().rows(row, 1), x.view().rows(row, 1),
                               w, rstd1, {});
    EXPECT_TRUE(same_bits(y1, y.view().rows(row, 1))) << row;
    EXPECT_TRUE(same_bits(dx1, dx.view().rows(row, 1))) << row;
  }
}

TEST_P(RmsNormTest, BlocksOfRowsMayBeAddedInAnyOrder) {
  constexpr std::int64_t kRows = 2 * kernels::kGradientBlockRows + 40, kWidth = 19;
  const Inputs in = make_inputs(kRows, kWidth);
  const auto x = f32_tensor({kRows, kWidth}, in.x), w = f32_tensor({kWidth}, in.weight);
  const auto dy = f32_tensor({kRows, kWidth}, in.dy);
  kernels::Tensor y(DType::f32, {kRows, kWidth}), rstd(DType::f32, {kRows}), dx(DType::f32, {kRows, kWidth});
  OwnedGradient whole({kWidth}), parts({kWidth});
  kernels::rms_norm_forward(context, y, rstd, x, w, kEpsilon);
  kernels::rms_norm_backward(context, dx, whole.view(), dy, x, w, rstd, {});
  for (const std::int64_t begin :
       {2 * kernels::kGradientBlockRows, std::int64_t{0}, kernels::kGradientBlockRows}) {
    const std::int64_t count = std::min(kernels::kGradientBlockRows, kRows - begin);
    kernels::rms_norm_backward(context, dx.view().rows(begin, count), parts.view(),
                               dy.view().rows(begin, count), x.view().rows(begin, count), w,
                               rstd.view().rows(begin, count), {});
  }
  EXPECT_TRUE(same_bits(whole.sums, parts.sums));
}

TEST_P(RmsNormTest, CountsGradientsThatAreNotFinite) {
  const Inputs in = make_inputs(2, 16);
  auto dy = f32_tensor({2, 16}, in.dy);
  dy.data<float>()[3] = NAN;
  const auto x = f32_tensor({2, 16}, in.x), w = f32_tensor({16}, in.weight);
  kernels::Tensor y(DType::f32, {2, 16}), rstd(DType::f32, {2}), dx(DType::f32, {2, 16});
  OwnedGradient gradient({16});
  kernels::rms_norm_forward(context, y, rstd, x, w, kEpsilon);
  kernels::rms_norm_backward(context, dx, gradient.view(), dy, x, w, rstd, {});
  EXPECT_EQ(gradient.overflow(), 1);
  EXPECT_EQ(gradient.sums.data<std::int64_t>()[3], 0);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(RmsNormTest);

}  // namespace
}  // namespace switchyard::test
