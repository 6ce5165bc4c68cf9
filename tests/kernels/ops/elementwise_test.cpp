#include "kernels/ops/elementwise.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/elementwise.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

TEST(RowGateReference, GradientsAgreeWithComplexStep) {
  constexpr std::int64_t N = 4, C = 5;
  const auto x = random_values(N * C, "x"), gate = random_values(N, "gate", 2.0),
             dy = random_values(N * C, "dy");
  std::vector<double> dx(N * C), dgate(N);
  kernels::reference::row_gate_backward(dx.data(), dgate.data(), dy.data(), x.data(), gate.data(), N, C);
  const auto expected = complex_step_gradients(
      [](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> y(N * C);
        kernels::reference::row_gate_forward(y.data(), inputs[0].data(), inputs[1].data(), N, C);
        return y;
      },
      {x, gate}, dy);
  expect_close(dx, expected[0], 1e-10, "dx");
  expect_close(dgate, expected[1], 1e-10, "dgate");
}

TEST(ClipReference, GradientsAgreeWithComplexStep) {
  const auto x = random_values(40, "x"), dy = random_values(40, "dy");
  std::vector<double> dx(40);
  kernels::reference::clip_backward(dx.data(), dy.data(), x.data(), 40, 0.5);
  const auto expected = complex_step_gradients(
      [](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> y(40);
        kernels::reference::clip_forward(y.data(), inputs[0].data(), 40, 0.5);
        return y;
      },
      {x}, dy);
  expect_close(dx, expected[0], 1e-12, "dx");
  EXPECT_GT(std::count(dx.begin(), dx.end(), 0.0), 10);
  EXPECT_LT(std::count(dx.begin(), dx.end(), 0.0), 30);
}

class ElementwiseTest : public CpuOpTest {
 protected:
  void compare(std::int64_t N, std::int64_t C) {
    SCOPED_TRACE("N=" + std::to_string(N) + " C=" + std::to_string(C));
    const auto x = as_f32(random_values(N * C, "x")), dy = as_f32(random_values(N * C, "dy"));
    const auto gate = as_f32(random_values(N, "gate", 2.0));
    std::vector<double> y(x.size()), dx(x.size()), dgate(gate.size());
    kernels::reference::row_gate_forward(y.data(), x.data(), gate.data(), N, C);
    kernels::reference::row_gate_backward(dx.data(), dgate.data(), dy.data(), x.data(), gate.data(), N, C);
    const auto tx = f32_tensor({N, C}, x), tdy = f32_tensor({N, C}, dy), tgate = f32_tensor({N, 1}, gate);
    kernels::Tensor ty(DType::f32, {N, C}), tdx(DType::f32, {N, C}), tdgate(DType::f32, {N, 1});
    kernels::row_gate_forward(context, ty, tx, tgate);
    expect_close(values_of(ty), y, f32_tolerance(1), "y");
    for (int repeat = 0; repeat < 2; ++repeat)
      kernels::row_gate_backward(context, tdx, tdgate, tdy, tx, tgate);
    expect_close(values_of(tdx), dx, f32_tolerance(1), "dx");
    expect_close(values_of(tdgate), dgate, f32_tolerance(C), "dgate", 1.0);

    kernels::Tensor total(DType::f32, {N, C});
    kernels::add(context, total, tx, tdy);
    kernels::add(context, tx, tx, tdy);  // in place
    for (std::int64_t i = 0; i < N * C; ++i) {
      const auto at = static_cast<std::size_t>(i);
      EXPECT_EQ(total.data<float>()[i], static_cast<float>(x[at]) + static_cast<float>(dy[at]));
    }
    EXPECT_TRUE(same_bits(total, tx));
  }
};

TEST_P(ElementwiseTest, AgreesWithTheReference) {
  for (const std::int64_t C : {1, 3, 15, 16, 17, 31, 33, 64, 100}) compare(5, C);
  compare(0, 16);
  compare(130, 20);
}

TEST_P(ElementwiseTest, RowsAreIndependent) {
  constexpr std::int64_t kRows = 70, C = 21;
  const auto x = f32_tensor({kRows, C}, random_values(kRows * C, "x"));
  const auto dy = f32_tensor({kRows, C}, random_values(kRows * C, "dy"));
  const auto gate = f32_tensor({kRows, 1}, random_values(kRows, "gate"));
  kernels::Tensor y(DType::f32, {kRows, C}), dx(DType::f32, {kRows, C}), dgate(DType::f32, {kRows, 1});
  kernels::row_gate_forward(context, y, x, gate);
  kernels::row_gate_backward(context, dx, dgate, dy, x, gate);
  for (std::int64_t row = 0; row < kRows; ++row) {
    kernels::Tensor y1(DType::f32, {1, C}), dx1(DType::f32, {1, C}), dgate1(DType::f32, {1, 1});
    kernels::row_gate_forward(context, y1, x.view().rows(row, 1), gate.view().rows(row, 1));
    kernels::row_gate_backward(context, dx1, dgate1, dy.view().rows(row, 1), x.view().rows(row, 1),
                               gate.view().rows(row, 1));
    EXPECT_TRUE(same_bits(y1, y.view().rows(row, 1))) << row;
    EXPECT_TRUE(same_bits(dx1, dx.view().rows(row, 1))) << row;
    EXPECT_TRUE(same_bits(dgate1, dgate.view().rows(row, 1))) << row;
  }
}

TEST_P(ElementwiseTest, ClippingAgreesWithTheReferenceToTheBit) {
  constexpr float kLimit = 0.7F;
  for (const std::int64_t C : {1, 3, 16, 21, 64}) {
    const std::int64_t N = 40;
    std::vector<double> x = as_f32(random_values(N * C, "x"));
    x[0] = kLimit;
    x[1] = -kLimit;  // the limits themselves are inside
    const auto dy = as_f32(random_values(N * C, "dy"));
    std::vector<double> y(x.size()), dx(x.size());
    kernels::reference::clip_forward(y.data(), x.data(), N * C, kLimit);
    kernels::reference::clip_backward(dx.data(), dy.data(), x.data(), N * C, kLimit);
    const auto tx = f32_tensor({N, C}, x), tdy = f32_tensor({N, C}, dy);
    const kernels::Tensor ty(DType::f32, {N, C}), tdx(DType::f32, {N, C});
    kernels::clip_forward(context, ty, tx, kLimit);
    for (int repeat = 0; repeat < 2; ++repeat) kernels::clip_backward(context, tdx, tdy, tx, kLimit);
    EXPECT_EQ(values_of(ty), y);
    EXPECT_EQ(values_of(tdx), dx);
    kernels::clip_backward(context, tdy, tdy, tx, kLimit);
    kernels::clip_forward(context, tx, tx, kLimit);
    EXPECT_TRUE(same_bits(tdy, tdx));
    EXPECT_TRUE(same_bits(tx, ty));
  }
  kernels::clip_forward(context, kernels::Tensor(DType::f32, {0, 5}), kernels::Tensor(DType::f32, {0, 5}),
                        1.0F);
}

TEST_P(ElementwiseTest, ClippingHidesNoNaN) {
  const auto x = f32_tensor({1, 3}, {NAN, INFINITY, -INFINITY});
  const kernels::Tensor y(DType::f32, {1, 3}), dx(DType::f32, {1, 3});
  kernels::clip_forward(context, y, x, 2.0F);
  kernels::clip_backward(context, dx, f32_tensor({1, 3}, {NAN, 1, 1}), f32_tensor({1, 3}, {0, 3, 1}), 2.0F);
  EXPECT_TRUE(std::isnan(y.data<float>()[0]));
  EXPECT_EQ(y.data<float>()[1], 2.0F);
  EXPECT_EQ(y.data<float>()[2], -2.0F);
  EXPECT_TRUE(std::isnan(dx.data<float>()[0]));
  EXPECT_EQ(dx.data<float>()[1], 0.0F);
  EXPECT_EQ(dx.data<float>()[2], 1.0F);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(ElementwiseTest);

}  // namespace
}  // namespace switchyard::test
