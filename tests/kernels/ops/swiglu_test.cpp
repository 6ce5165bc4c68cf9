#include "kernels/ops/swiglu.h"

#include <cmath>

#include "kernels/reference/swiglu.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

TEST(SwigluReference, GradientsAgreeWithComplexStep) {
  constexpr std::int64_t M = 3, F = 5;
  const auto gate_up = random_values(M * 2 * F, "gate_up", 3.0), dh = random_values(M * F, "dh");
  std::vector<double> dgate_up(gate_up.size());
  kernels::reference::swiglu_backward(dgate_up.data(), dh.data(), gate_up.data(), M, F);
  const auto expected = complex_step_gradients(
      [](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> h(M * F);
        kernels::reference::swiglu_forward(h.data(), inputs[0].data(), M, F);
        return h;
      },
      {gate_up}, dh);
  expect_close(dgate_up, expected[0], 1e-10, "dgate_up");
}

class SwigluTest : public CpuOpTest {
 protected:
  void compare(std::int64_t M, std::int64_t F) {
    SCOPED_TRACE("M=" + std::to_string(M) + " F=" + std::to_string(F));
    const auto gate_up = as_f32(random_values(M * 2 * F, "gate_up", 3.0)),
               dh = as_f32(random_values(M * F, "dh"));
    std::vector<double> h(dh.size()), dgate_up(gate_up.size());
    kernels::reference::swiglu_forward(h.data(), gate_up.data(), M, F);
    kernels::reference::swiglu_backward(dgate_up.data(), dh.data(), gate_up.data(), M, F);
    const auto tgate_up = f32_tensor({M, 2 * F}, gate_up), tdh = f32_tensor({M, F}, dh);
    kernels::Tensor th(DType::f32, {M, F}), tdgate_up(DType::f32, {M, 2 * F});
    kernels::swiglu_forward(context, th, tgate_up);
    expect_close(values_of(th), h, f32_tolerance(1), "h");
    for (int repeat = 0; repeat < 2; ++repeat) kernels::swiglu_backward(context, tdgate_up, tdh, tgate_up);
    expect_close(values_of(tdgate_up), dgate_up, f32_tolerance(1), "dgate_up");
    kernels::swiglu_backward(context, tgate_up, tdh, tgate_up);  // in place
    EXPECT_TRUE(same_bits(tgate_up, tdgate_up));
  }
};

TEST_P(SwigluTest, AgreesWithTheReference) {
  for (const std::int64_t F : {1, 3, 15, 16, 17, 31, 33, 64, 100}) compare(5, F);
  compare(0, 16);
  compare(70, 48);
}

TEST_P(SwigluTest, RowsAreIndependent) {
  constexpr std::int64_t kRows = 37, F = 21;
  const auto gate_up = f32_tensor({kRows, 2 * F}, random_values(kRows * 2 * F, "gate_up"));
  const auto dh = f32_tensor({kRows, F}, random_values(kRows * F, "dh"));
  kernels::Tensor h(DType::f32, {kRows, F}), d(DType::f32, {kRows, 2 * F});
  kernels::swiglu_forward(context, h, gate_up);
  kernels::swiglu_backward(context, d, dh, gate_up);
  for (std::int64_t row = 0; row < kRows; ++row) {
    kernels::Tensor h1(DType::f32, {1, F}), d1(DType::f32, {1, 2 * F});
    kernels::swiglu_forward(context, h1, gate_up.view().rows(row, 1));
    kernels::swiglu_backward(context, d1, dh.view().rows(row, 1), gate_up.view().rows(row, 1));
    EXPECT_TRUE(same_bits(h1, h.view().rows(row, 1))) << row;
    EXPECT_TRUE(same_bits(d1, d.view().rows(row, 1))) << row;
  }
}

TEST_P(SwigluTest, StaysFiniteForHugeGatesAndKeepsNaN) {
  const auto gate_up = f32_tensor({1, 8}, {200, -200, 1e30, NAN, 1, 1, 1, 1});
  const auto dh = f32_tensor({1, 4}, {1, 1, 1, 1});
  kernels::Tensor h(DType::f32, {1, 4}), d(DType::f32, {1, 8});
  kernels::swiglu_forward(context, h, gate_up);
  kernels::swiglu_backward(context, d, dh, gate_up);
  EXPECT_EQ(h.data<float>()[0], 200.0F);
  EXPECT_NEAR(h.data<float>()[1], 0.0F, 1e-30);
  EXPECT_EQ(h.data<float>()[2], 1e30F);
  EXPECT_TRUE(std::isnan(h.data<float>()[3]));
  EXPECT_EQ(d.data<float>()[0], 1.0F);
  EXPECT_NEAR(d.data<float>()[1], 0.0F, 1e-30);
  EXPECT_TRUE(std::isnan(d.data<float>()[3]));
}

SWITCHYARD_ON_ALL_CPU_LEVELS(SwigluTest);

}  // namespace
}  // namespace switchyard::test
