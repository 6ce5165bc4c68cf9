#include "kernels/ops/rope.h"

#include <cmath>

#include "kernels/reference/rope.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

constexpr std::int64_t kPositions = 11;

struct Tables {
  explicit Tables(std::int64_t half)
      : cosine(DType::f32, {kPositions, half}), sine(DType::f32, {kPositions, half}) {
    kernels::rope_tables(cosine, sine, 10000.0);
  }
  kernels::Tensor cosine, sine;
};

TEST(RopeTables, HoldTheAnglesOfEachPosition) {
  const Tables tables(4);
  for (const std::int64_t t : {0, 1, 10}) {
    for (std::int64_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(t) * std::pow(10000.0, -2.0 * static_cast<double>(i) / 8.0);
      EXPECT_NEAR(tables.cosine.data<float>()[t * 4 + i], std::cos(angle), 1e-7);
      EXPECT_NEAR(tables.sine.data<float>()[t * 4 + i], std::sin(angle), 1e-7);
    }
  }
}

using kernels::RopeScaling;
using kernels::RopeScalingKind;

TEST(RopeTables, AreMultipliedByTheAttentionFactor) {
  const RopeScaling scaling = {.kind = RopeScalingKind::yarn, .factor = 16, .original_length = 64};
  const double factor = 0.1 * std::log(16.0) + 1;
  EXPECT_DOUBLE_EQ(kernels::rope_attention_factor(scaling), factor);
  const kernels::Tensor cosine(DType::f32, {kPositions, 4}), sine(DType::f32, {kPositions, 4});
  kernels::rope_tables(cosine, sine, 10000.0, scaling);
  const std::vector<double> frequencies = kernels::rope_frequencies(scaling, 10000.0, 4);
  for (std::int64_t i = 0; i < 4; ++i) {
    const double angle = 7 * frequencies[static_cast<std::size_t>(i)];
    EXPECT_NEAR(cosine.data<float>()[7 * 4 + i], factor * std::cos(angle), 2e-7);
    EXPECT_NEAR(sine.data<float>()[7 * 4 + i], factor * std::sin(angle), 2e-7);
  }
  RopeScaling given = scaling;
  given.attention_factor = 0.75;
  EXPECT_EQ(kernels::rope_attention_factor(given), 0.75);
  given.kind = RopeScalingKind::linear;
  EXPECT_EQ(kernels::rope_attention_factor(given), 1.0);
}

TEST(RopeFrequencies, AgreeWithTheReferenceForEveryKind) {
  const std::vector<RopeScaling> scalings = {
      {},
      {.kind = RopeScalingKind::linear, .factor = 3.5},
      {.kind = RopeScalingKind::llama3, .factor = 8, .original_length = 8192},
      {.kind = RopeScalingKind::llama3,
       .factor = 2,
       .original_length = 100,
       .low_frequency_factor = 0.5,
       .high_frequency_factor = 9},
      {.kind = RopeScalingKind::yarn, .factor = 4, .original_length = 4096},
      {.kind = RopeScalingKind::yarn, .factor = 40, .original_length = 4096, .truncate = false},
      {.kind = RopeScalingKind::yarn, .factor = 2, .original_length = 64, .beta_fast = 8, .beta_slow = 0.5},
      {.kind = RopeScalingKind::yarn, .factor = 4, .original_length = 4}};  // both ends of the ramp at 0
  for (const RopeScaling& scaling : scalings) {
    for (const std::int64_t half : {1, 2, 8, 64}) {
      const std::vector<double> frequencies = kernels::rope_frequencies(scaling, 10000.0, half);
      for (std::int64_t i = 0; i < half; ++i) {
        const double expected = kernels::reference::rope_frequency(scaling, 10000.0, i, 2 * half);
        EXPECT_NEAR(frequencies[static_cast<std::size_t>(i)], expected, 1e-13 * expected)
            << static_cast<int>(scaling.kind) << " " << scaling.factor << " " << i << " of " << half;
      }
    }
  }
}

// Values of others' code, to seven digits.
TEST(RopeFrequencies, AreThoseOfReleasedModels) {
  const auto expect = [](const RopeScaling& scaling, double theta, std::int64_t half,
                         const std::vector<std::pair<std::size_t, double>>& values) {
    const std::vector<double> frequencies = kernels::rope_frequencies(scaling, theta, half);
    for (const auto& [i, value] : values) EXPECT_NEAR(frequencies[i], value, 1e-6 * value) << i;
  };
  expect({.kind = RopeScalingKind::llama3, .factor = 8, .original_length = 8192}, 5e5, 64,
         {{0, 1.0},
          {16, 3.760603e-2},
          {28, 3.211446e-3},
          {32, 5.248462e-4},
          {40, 3.428102e-5},
          {63, 3.068926e-7}});
  expect({.kind = RopeScalingKind::yarn, .factor = 32, .original_length = 4096, .truncate = false}, 150000,
         32,
         {{0, 1.0},
          {8, 5.081327e-2},
          {12, 6.794959e-3},
          {16, 4.564839e-4},
          {20, 1.818834e-5},
          {31, 3.023511e-7}});
  expect({.kind = RopeScalingKind::yarn, .factor = 40, .original_length = 4096}, 1e4, 32,
         {{0, 1.0}, {8, 1e-1}, {12, 2.687936e-2}, {16, 5.5e-3}, {20, 7.905694e-4}, {31, 3.333804e-6}});
}

TEST(RopeFrequencies, RefuseWhatHasNoMeaning) {
  EXPECT_THROW(kernels::rope_frequencies({.kind = RopeScalingKind::linear, .factor = 0}, 1e4, 4),
               InternalError);
  EXPECT_THROW(kernels::rope_frequencies({.kind = RopeScalingKind::yarn, .factor = 2}, 1e4, 4),
               InternalError);
}

TEST(RopeReference, GradientsAgreeWithComplexStep) {
  constexpr std::int64_t B = 2, T = 3, H = 2, D = 6, kFirst = 4;
  const Tables tables(D / 2);
  const auto cosine = values_of(tables.cosine), sine = values_of(tables.sine);
  const auto x = random_values(B * T * H * D, "x"), dy = random_values(B * T * H * D, "dy");
  std::vector<double> dx = dy;
  kernels::reference::rope_backward(dx.data(), cosine.data(), sine.data(), B, T, H, D, kFirst);
  const auto expected = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> y = inputs[0];
        kernels::reference::rope_forward(y.data(), cosine.data(), sine.data(), B, T, H, D, kFirst);
        return y;
      },
      {x}, dy);
  expect_close(dx, expected[0], 1e-10, "dx");
}

class RopeTest : public CpuOpTest {};

TEST_P(RopeTest, AgreesWithTheReference) {
  for (const std::int64_t half : {1, 3, 15, 16, 17, 31, 33, 64, 100}) {
    SCOPED_TRACE(half);
    const std::int64_t B = 2, T = 5, H = 3, D = 2 * half, first = half % 2 == 0 ? 0 : 6;
    const Tables tables(half);
    const auto cosine = values_of(tables.cosine), sine = values_of(tables.sine);
    const auto x = as_f32(random_values(B * T * H * D, "x"));
    std::vector<double> turned = x, back = x;
    kernels::reference::rope_forward(turned.data(), cosine.data(), sine.data(), B, T, H, D, first);
    kernels::reference::rope_backward(back.data(), cosine.data(), sine.data(), B, T, H, D, first);
    const auto y = f32_tensor({B, T, H, D}, x), dx = f32_tensor({B, T, H, D}, x);
    kernels::rope_forward(context, y, tables.cosine, tables.sine, first);
    kernels::rope_backward(context, dx, tables.cosine, tables.sine, first);
    expect_close(values_of(y), turned, f32_tolerance(1), "y");
    expect_close(values_of(dx), back, f32_tolerance(1), "dx");
  }
}

TEST_P(RopeTest, ScoresDependOnTheDistanceOnly) {
  constexpr std::int64_t D = 34;
  const Tables tables(D / 2);
  const auto q = as_f32(random_values(D, "q")), k = as_f32(random_values(D, "k"));
  const auto score = [&](std::int64_t at_q, std::int64_t at_k) {
    const auto tq = f32_tensor({1, 1, 1, D}, q), tk = f32_tensor({1, 1, 1, D}, k);
    kernels::rope_forward(context, tq, tables.cosine, tables.sine, at_q);
    kernels::rope_forward(context, tk, tables.cosine, tables.sine, at_k);
    double dot = 0;
    for (std::int64_t d = 0; d < D; ++d)
      dot += static_cast<double>(tq.data<float>()[d]) * static_cast<double>(tk.data<float>()[d]);
    return dot;
  };
  EXPECT_NEAR(score(5, 2), score(10, 7), 1e-4);
  EXPECT_GT(std::abs(score(5, 2) - score(6, 2)), 1e-2);
}

TEST_P(RopeTest, RowsAreIndependent) {
  constexpr std::int64_t B = 2, T = 5, H = 2, D = 22;
  const Tables tables(D / 2);
  const auto values = as_f32(random_values(B * T * H * D, "x"));
  const auto x = f32_tensor({B, T, H, D}, values), original = f32_tensor({B * T, H * D}, values);
  kernels::rope_forward(context, x, tables.cosine, tables.sine, 3);
  for (std::int64_t row = 0; row < B * T; ++row) {
    kernels::Tensor alone(DType::f32, {1, 1, H, D});
    std::memcpy(alone.data<float>(), original.view().rows(row, 1).raw(), alone.view().bytes());
    kernels::rope_forward(context, alone, tables.cosine, tables.sine, 3 + row % T);
    EXPECT_TRUE(same_bits(alone.view().reshaped({1, H, D}), x.view().reshaped({B * T, H, D}).rows(row, 1)))
        << row;
  }
}

TEST_P(RopeTest, EmptyInputsAndPositionsBeyondTheTables) {
  const Tables tables(4);
  kernels::rope_forward(context, kernels::Tensor(DType::f32, {0, 5, 2, 8}), tables.cosine, tables.sine, 0);
  const kernels::Tensor x(DType::f32, {1, 5, 2, 8});
  EXPECT_THROW(kernels::rope_forward(context, x, tables.cosine, tables.sine, kPositions - 4), InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(RopeTest);

}  // namespace
}  // namespace switchyard::test
