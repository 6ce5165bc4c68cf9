#include "kernels/ops/cross_entropy.h"

#include <cmath>

#include "kernels/reference/cross_entropy.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

std::vector<std::int32_t> make_targets(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> targets;
  for (std::int64_t n = 0; n < N; ++n)
    targets.push_back(n % 4 == 2 ? -1 : static_cast<std::int32_t>(n * 7 % V));
  return targets;
}

TEST(CrossEntropyReference, GradientsAgreeWithComplexStep) {
  constexpr std::int64_t N = 4, V = 6;
  constexpr double kScale = 0.37;
  const auto targets = make_targets(N, V);
  const auto logits = random_values(N * V, "logits", 4.0);
  std::vector<double> loss(N), lse(N), dlogits(N * V);
  kernels::reference::cross_entropy_forward(loss.data(), lse.data(), logits.data(), targets.data(), N, V);
  kernels::reference::cross_entropy_backward(dlogits.data(), logits.data(), targets.data(), lse.data(),
                                             kScale, N, V);
  const auto expected = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> out(N), statistics(N);
        kernels::reference::cross_entropy_forward(out.data(), statistics.data(), inputs[0].data(),
                                                  targets.data(), N, V);
        return out;
      },
      {logits}, std::vector<double>(N, kScale));
  expect_close(dlogits, expected[0], 1e-10, "dlogits");
}

class CrossEntropyTest : public CpuOpTest {
 protected:
  void compare(std::int64_t N, std::int64_t V, double spread) {
    SCOPED_TRACE("N=" + std::to_string(N) + " V=" + std::to_string(V));
    const auto targets = make_targets(N, V);
    const auto logits = as_f32(random_values(N * V, "logits", spread));
    const auto rows = static_cast<std::size_t>(N);
    std::vector<double> loss(rows), lse(rows), dlogits(logits.size());
    kernels::reference::cross_entropy_forward(loss.data(), lse.data(), logits.data(), targets.data(), N, V);
    kernels::reference::cross_entropy_backward(dlogits.data(), logits.data(), targets.data(), lse.data(),
                                               0.125, N, V);
    const auto tlogits = f32_tensor({N, V}, logits);
    const auto ttargets = i32_tensor({N}, targets);
    kernels::Tensor tloss(DType::f32, {N}), tlse(DType::f32, {N}), td(DType::f32, {N, V});
    kernels::cross_entropy_forward(context, tloss, tlse, tlogits, ttargets);
    expect_close(values_of(tlse), lse, f32_tolerance(1), "lse", spread);
    expect_close(values_of(tloss), loss, f32_tolerance(1), "loss", spread);
    for (int repeat = 0; repeat < 2; ++repeat)
      kernels::cross_entropy_backward(context, td, tlogits, ttargets, tlse, 0.125F);
    // A rounding of lse scales every probability of the row: it weighs with the size of the logits.
    expect_close(values_of(td), dlogits, f32_tolerance(1) * std::max(1.0, 4 * spread), "dlogits", 0.125);
    kernels::cross_entropy_backward(context, tlogits, tlogits, ttargets, tlse, 0.125F);  // in place
    EXPECT_TRUE(same_bits(tlogits, td));
  }
};

TEST_P(CrossEntropyTest, AgreesWithTheReference) {
  for (const std::int64_t V : {1, 3, 15, 16, 17, 31, 33, 64, 100, 1000}) compare(6, V, 3.0);
  compare(0, 16, 1.0);
  compare(40, 257, 30.0);
}

TEST_P(CrossEntropyTest, RowsAreIndependent) {
  constexpr std::int64_t kRows = 13, V = 53;
  const auto logits = f32_tensor({kRows, V}, random_values(kRows * V, "logits", 3.0));
  const auto targets = i32_tensor({kRows}, make_targets(kRows, V));
  kernels::Tensor loss(DType::f32, {kRows}), lse(DType::f32, {kRows}), d(DType::f32, {kRows, V});
  kernels::cross_entropy_forward(context, loss, lse, logits, targets);
  kernels::cross_entropy_backward(context, d, logits, targets, lse, 0.3F);
  for (std::int64_t row = 0; row < kRows; ++row) {
    kernels::Tensor loss1(DType::f32, {1}), lse1(DType::f32, {1}), d1(DType::f32, {1, V});
    kernels::cross_entropy_forward(context, loss1, lse1, logits.view().rows(row, 1),
                                   targets.view().rows(row, 1));
    kernels::cross_entropy_backward(context, d1, logits.view().rows(row, 1), targets.view().rows(row, 1),
                                    lse1, 0.3F);
    EXPECT_TRUE(same_bits(loss1, loss.view().rows(row, 1))) << row;
    EXPECT_TRUE(same_bits(lse1, lse.view().rows(row, 1))) << row;
    EXPECT_TRUE(same_bits(d1, d.view().rows(row, 1))) << row;
  }
}

TEST_P(CrossEntropyTest, HugeLogitsAreSafe) {
  for (const float size : {1e4F, 1e30F, 3e38F}) {
    const auto logits = f32_tensor({2, 3}, {size, -size, 0, -size, -size, -size});
    kernels::Tensor loss(DType::f32, {2}), lse(DType::f32, {2}), d(DType::f32, {2, 3});
    const auto targets = i32_tensor({2}, {0, 2});
    kernels::cross_entropy_forward(context, loss, lse, logits, targets);
    kernels::cross_entropy_backward(context, d, logits, targets, lse, 1.0F);
    EXPECT_EQ(loss.data<float>()[0], 0.0F);
    EXPECT_EQ(d.data<float>()[0], 0.0F);
    EXPECT_NEAR(d.data<float>()[1], 0.0F, 1e-30);
    // log 3 is lost beside -1e30, but nothing becomes NaN or infinite.
    EXPECT_TRUE(std::isfinite(loss.data<float>()[1]));
    for (const double value : values_of(d)) EXPECT_TRUE(std::isfinite(value));
  }
}

TEST_P(CrossEntropyTest, InfiniteLogits) {
  constexpr float kInf = INFINITY;
  // A class of -inf is out of the race; chosen as the target its loss is infinite; +inf, or nothing but -inf,
  // has no softmax; NaN shows. An ignored row is 0 whatever its logits.
  const auto logits = f32_tensor(
      {6, 3}, {0, 0, -kInf, 0, 0, -kInf, kInf, 0, 0, -kInf, -kInf, -kInf, NAN, 0, 0, NAN, kInf, 0});
  const auto targets = i32_tensor({6}, {0, 2, 0, 1, 1, -1});
  kernels::Tensor loss(DType::f32, {6}), lse(DType::f32, {6}), d(DType::f32, {6, 3});
  kernels::cross_entropy_forward(context, loss, lse, logits, targets);
  kernels::cross_entropy_backward(context, d, logits, targets, lse, 1.0F);
  const float* l = loss.data<float>();
  EXPECT_NEAR(l[0], std::log(2.0), 1e-6);
  EXPECT_NEAR(d.data<float>()[2], 0.0F, 1e-30);
  EXPECT_EQ(l[1], kInf);
  EXPECT_TRUE(std::isnan(l[2]));
  EXPECT_TRUE(std::isnan(l[3]));
  EXPECT_TRUE(std::isnan(l[4]));
  EXPECT_EQ(l[5], 0.0F);
  for (int i = 6; i < 15; ++i) EXPECT_TRUE(std::isnan(d.data<float>()[i])) << i;
  for (int i = 15; i < 18; ++i) EXPECT_EQ(d.data<float>()[i], 0.0F) << i;
}

TEST_P(CrossEntropyTest, RefusesTargetsOutsideTheVocabulary) {
  const kernels::Tensor loss(DType::f32, {1}), lse(DType::f32, {1}), logits(DType::f32, {1, 3});
  EXPECT_THROW(kernels::cross_entropy_forward(context, loss, lse, logits, i32_tensor({1}, {3})),
               InternalError);
  EXPECT_THROW(kernels::cross_entropy_forward(context, loss, lse, logits, i32_tensor({1}, {-2})),
               InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(CrossEntropyTest);

}  // namespace
}  // namespace switchyard::test
