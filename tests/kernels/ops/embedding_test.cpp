#include "kernels/ops/embedding.h"

#include <cmath>

#include "kernels/reference/embedding.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

// Uneven on purpose: some tokens fill most rows, some appear once, some never.
std::vector<std::int32_t> make_tokens(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> tokens;
  const auto values = random_values(N, "tokens", 2.0);
  for (const double value : values)
    tokens.push_back(static_cast<std::int32_t>(static_cast<std::int64_t>(std::abs(value * value)) % V));
  return tokens;
}

TEST(EmbeddingReference, GradientsAgreeWithComplexStep) {
  constexpr std::int64_t N = 9, V = 4, C = 3;
  const auto tokens = make_tokens(N, V);
  const auto weight = random_values(V * C, "weight"), dx = random_values(N * C, "dx");
  std::vector<double> dweight(weight.size());
  kernels::reference::embedding_backward(dweight.data(), dx.data(), tokens.data(), N, C);
  const auto expected = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> x(N * C);
        kernels::reference::embedding_forward(x.data(), tokens.data(), inputs[0].data(), N, C);
        return x;
      },
      {weight}, dx);
  expect_close(dweight, expected[0], 1e-10, "dweight");
}

class EmbeddingTest : public CpuOpTest {
 protected:
  void compare(std::int64_t N, std::int64_t V, std::int64_t C) {
    SCOPED_TRACE("N=" + std::to_string(N) + " V=" + std::to_string(V) + " C=" + std::to_string(C));
    const auto tokens = make_tokens(N, V);
    const auto weight = as_f32(random_values(V * C, "weight")), dx = as_f32(random_values(N * C, "dx"));
    std::vector<double> x(dx.size()), dweight(weight.size());
    kernels::reference::embedding_forward(x.data(), tokens.data(), weight.data(), N, C);
    kernels::reference::embedding_backward(dweight.data(), dx.data(), tokens.data(), N, C);
    const auto ttokens = i32_tensor({N}, tokens);
    const auto tweight = f32_tensor({V, C}, weight), tdx = f32_tensor({N, C}, dx);
    kernels::Tensor tx(DType::f32, {N, C});
    OwnedGradient gradient({V, C});
    kernels::embedding_forward(context, tx, ttokens, tweight);
    EXPECT_EQ(values_of(tx), x);
    for (int repeat = 0; repeat < 2; ++repeat)
      kernels::embedding_backward(context, gradient.view(), tdx, ttokens);
    for (double& value : dweight) value *= 2;
    expect_close(gradient.values(), dweight, f32_tolerance(N), "dweight", 1.0);
    EXPECT_EQ(gradient.overflow(), 0);
  }
};

TEST_P(EmbeddingTest, AgreesWithTheReference) {
  for (const std::int64_t C : {1, 3, 15, 16, 17, 31, 33, 64, 100}) compare(20, 7, C);
  compare(0, 5, 16);
  compare(700, 300, 70);
  compare(300, 1, 5);
}

// The order and the rounding are part of the promise: a block's rows of one token, in row order, in fp32, and
// then once onto the grid.
TEST_P(EmbeddingTest, RoundsEachTokenOncePerBlock) {
  constexpr std::int64_t N = 2 * kernels::kGradientBlockRows + 30, V = 5, C = 19;
  const auto tokens = make_tokens(N, V);
  const auto dx = f32_tensor({N, C}, random_values(N * C, "dx"));
  OwnedGradient gradient({V, C});
  kernels::embedding_backward(context, gradient.view(), dx, i32_tensor({N}, tokens));
  std::vector<std::int64_t> expected(V * C, 0);
  for (std::int64_t begin = 0; begin < N; begin += kernels::kGradientBlockRows) {
    std::vector<float> block(V * C, 0.0F);
    for (std::int64_t n = begin; n < std::min(N, begin + kernels::kGradientBlockRows); ++n)
      for (std::int64_t c = 0; c < C; ++c)
        block[static_cast<std::size_t>(tokens[static_cast<std::size_t>(n)] * C + c)] +=
            dx.data<float>()[n * C + c];
    for (std::size_t i = 0; i < block.size(); ++i)
      expected[i] += std::llrint(static_cast<double>(block[i]) * 0x1p44);
  }
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_EQ(gradient.sums.data<std::int64_t>()[i], expected[i]) << i;
}

TEST_P(EmbeddingTest, BlocksOfRowsMayBeAddedInAnyOrder) {
  constexpr std::int64_t N = 2 * kernels::kGradientBlockRows + 40, V = 30, C = 70;
  const auto tokens = i32_tensor({N}, make_tokens(N, V));
  const auto dx = f32_tensor({N, C}, random_values(N * C, "dx"));
  OwnedGradient whole({V, C}), parts({V, C});
  kernels::embedding_backward(context, whole.view(), dx, tokens);
  for (const std::int64_t begin :
       {2 * kernels::kGradientBlockRows, std::int64_t{0}, kernels::kGradientBlockRows}) {
    const std::int64_t count = std::min(kernels::kGradientBlockRows, N - begin);
    kernels::embedding_backward(context, parts.view(), dx.view().rows(begin, count),
                                tokens.view().rows(begin, count));
  }
  EXPECT_TRUE(same_bits(whole.sums, parts.sums));
}

TEST_P(EmbeddingTest, CountsGradientsThatAreNotFinite) {
  auto dx = f32_tensor({3, 16}, random_values(48, "dx"));
  dx.data<float>()[17] = INFINITY;
  OwnedGradient gradient({4, 16});
  kernels::embedding_backward(context, gradient.view(), dx, i32_tensor({3}, {2, 3, 2}));
  EXPECT_EQ(gradient.overflow(), 1);
  EXPECT_EQ(gradient.sums.data<std::int64_t>()[3 * 16 + 1], 0);
}

TEST_P(EmbeddingTest, RefusesIdsOutsideTheTable) {
  const kernels::Tensor weight(DType::f32, {4, 8}), x(DType::f32, {2, 8});
  EXPECT_THROW(kernels::embedding_forward(context, x, i32_tensor({2}, {0, 4}), weight), InternalError);
  EXPECT_THROW(kernels::embedding_forward(context, x, i32_tensor({2}, {-1, 0}), weight), InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(EmbeddingTest);

}  // namespace
}  // namespace switchyard::test
