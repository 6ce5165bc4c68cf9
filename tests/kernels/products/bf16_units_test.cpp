// What bf16 products and attention promise beyond being close: the order of their sums (as
// kernels/cpu/products/bf16/products.h tells it), bits that depend on neither threads nor company, and that
// what is masked cannot be seen, not even as NaN.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ops/attention.h"
#include "kernels/ops/grouped_linear.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using kernels::Isa;
using kernels::Tensor;
using kernels::Write;

Tensor bf16_random(Shape shape, const std::string& name) {
  return as_bf16(f32_tensor(shape, random_values(shape.elements(), name)));
}

float flushed(float value) {
  return std::abs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0F, value) : value;
}

// One chain, the later of two neighbours first.
float sum_of_pairs(const std::vector<float>& a, const std::vector<float>& b) {
  float sum = 0;
  for (std::size_t k = 0; k < a.size(); k += 2) {
    if (k + 1 < a.size()) sum = flushed(std::fma(flushed(a[k + 1]), flushed(b[k + 1]), sum));
    sum = flushed(std::fma(flushed(a[k]), flushed(b[k]), sum));
  }
  return sum;
}

// For each 32 elements a chain of the even ones and one of the odd ones; their sum is added to the total.
float sum_of_tiles(const std::vector<float>& a, const std::vector<float>& b) {
  float total = 0;
  for (std::size_t first = 0; first < a.size(); first += 32) {
    float chains[2] = {0, 0};
    for (std::size_t k = first; k < std::min(first + 32, a.size()); ++k)
      chains[k % 2] = flushed(std::fma(flushed(a[k]), flushed(b[k]), chains[k % 2]));
    total = flushed(total + flushed(chains[0] + chains[1]));
  }
  return total;
}

class Bf16UnitsTest : public CpuOpTest {};

// On the levels that have such a unit; the others multiply fp32 copies, whose chains linear_test.cpp checks.
class Bf16OrderTest : public CpuOpTest {
 protected:
  float expected_sum(const std::vector<float>& a, const std::vector<float>& b) const {
    return context.isa() == Isa::amx ? sum_of_tiles(a, b) : sum_of_pairs(a, b);
  }
};

TEST_P(Bf16OrderTest, SumsOverTheDepthHaveTheDocumentedOrder) {
  constexpr std::int64_t kRows = 35, kOut = 50;
  for (const std::int64_t depth : {1, 2, 31, 33, 100, 2101}) {
    const Tensor x = bf16_random({kRows, depth}, "x"), weight = bf16_random({kOut, depth}, "weight");
    const Tensor y(DType::f32, {kRows, kOut});
    kernels::linear_forward(context, y, x, weight, {});
    const auto row = [&](const Tensor& matrix, std::int64_t index) {
      const auto* from = matrix.data<BFloat16>() + index * depth;
      std::vector<float> out;
      for (std::int64_t k = 0; k < depth; ++k) out.push_back(static_cast<float>(from[k]));
      return out;
    };
    for (std::int64_t n = 0; n < kRows; ++n)
      for (std::int64_t o = 0; o < kOut; ++o)
        ASSERT_EQ(y.data<float>()[n * kOut + o], expected_sum(row(x, n), row(weight, o)))
            << "depth " << depth << ", row " << n << ", column " << o;
  }
}

TEST_P(Bf16OrderTest, WeightGradientsHaveThatOrderWithinEachBlockOfRows) {
  constexpr std::int64_t kBlock = kernels::kGradientBlockRows, kRows = kBlock + 45, kOut = 34, kIn = 51;
  const Tensor x = bf16_random({kRows, kIn}, "x"), dy = bf16_random({kRows, kOut}, "dy");
  OwnedGradient gradient({kOut, kIn});
  kernels::linear_backward_weight(context, gradient.view(), dy, x);
  const auto column = [&](const Tensor& matrix, std::int64_t index, std::int64_t begin) {
    std::vector<float> out;
    for (std::int64_t n = begin; n < std::min(begin + kBlock, kRows); ++n)
      out.push_back(static_cast<float>(matrix.data<BFloat16>()[n * matrix.view().dim(1) + index]));
    return out;
  };
  for (std::int64_t o = 0; o < kOut; ++o)
    for (std::int64_t i = 0; i < kIn; ++i) {
      std::int64_t expected = 0;
      for (std::int64_t begin = 0; begin < kRows; begin += kBlock)
        expected += std::llrint(
            std::ldexp(static_cast<double>(expected_sum(column(dy, o, begin), column(x, i, begin))),
                       kernels::kGridExponent));
      ASSERT_EQ(gradient.sums.data<std::int64_t>()[o * kIn + i], expected) << o << " " << i;
    }
}

// 51 columns: some go to the sums from registers, the last few through memory.
TEST_P(Bf16UnitsTest, WeightGradientsCountWhatIsNotFiniteAndAddNothingForIt) {
  constexpr std::int64_t kRows = 20, kOut = 34, kIn = 51, kBadOut = 3, kBadIn = 5;
  const Tensor x = bf16_random({kRows, kIn}, "x"), dy = bf16_random({kRows, kOut}, "dy");
  OwnedGradient whole({kOut, kIn}), gradient({kOut, kIn});
  kernels::linear_backward_weight(context, whole.view(), dy, x);
  dy.data<BFloat16>()[7 * kOut + kBadOut] = BFloat16(std::numeric_limits<float>::quiet_NaN());
  x.data<BFloat16>()[9 * kIn + kBadIn] = BFloat16(std::numeric_limits<float>::infinity());
  kernels::linear_backward_weight(context, gradient.view(), dy, x);
  EXPECT_EQ(whole.overflow(), 0);
  EXPECT_EQ(gradient.overflow(), kIn + kOut - 1);
  for (std::int64_t o = 0; o < kOut; ++o)
    for (std::int64_t i = 0; i < kIn; ++i) {
      const auto* sums = whole.sums.data<std::int64_t>();
      ASSERT_EQ(gradient.sums.data<std::int64_t>()[o * kIn + i],
                o == kBadOut || i == kBadIn ? 0 : sums[o * kIn + i])
          << o << " " << i;
    }
}

TEST_P(Bf16OrderTest, DenormalsAreZero) {
  const Tensor x(DType::bf16, {1, 2}), weight(DType::bf16, {1, 2}), y(DType::f32, {1, 1});
  x.data<BFloat16>()[0].bits = 0x0040;  // 2^-127
  x.data<BFloat16>()[1].bits = 0x0080;  // 2^-126, the least normal one
  weight.data<BFloat16>()[0] = BFloat16(4.0F);
  weight.data<BFloat16>()[1] = BFloat16(1.0F);
  kernels::linear_forward(context, y, x, weight, {});
  EXPECT_EQ(y.data<float>()[0], 0x1p-126F);
  weight.data<BFloat16>()[1] = BFloat16(0.5F);
  kernels::linear_forward(context, y, x, weight, {});
  EXPECT_EQ(y.data<float>()[0], 0.0F);
}

TEST_P(Bf16UnitsTest, ThreadsChangeNoBit) {
  constexpr std::int64_t kExperts = 3, kRows = 700, kOut = 130, kIn = 96;
  const auto segments = i32_tensor({3, 3}, {0, 0, 5, 2, 5, 690, 1, 695, 5});  // one expert has nearly all
  const Tensor x = bf16_random({kRows, kIn}, "x"), weight = bf16_random({kExperts, kOut, kIn}, "weight"),
               dy = bf16_random({kRows, kOut}, "dy");
  kernels::Context alone(1, context.isa());
  kernels::Context crew(3, context.isa());
  const auto run = [&](kernels::Context& on, const Tensor& y, const Tensor& dx, const OwnedGradient& sums) {
    kernels::grouped_linear_forward(on, y, x, weight, segments);
    kernels::grouped_linear_backward_data(on, dx, dy, weight, segments);
    kernels::grouped_linear_backward_weight(on, sums.view(), dy, x, segments);
  };
  const Tensor y1(DType::bf16, {kRows, kOut}), y3(DType::bf16, {kRows, kOut}), dx1(DType::bf16, {kRows, kIn}),
      dx3(DType::bf16, {kRows, kIn});
  const OwnedGradient sums1({kExperts, kOut, kIn}), sums3({kExperts, kOut, kIn});
  run(alone, y1, dx1, sums1);
  run(crew, y3, dx3, sums3);
  EXPECT_TRUE(same_bits(y1, y3));
  EXPECT_TRUE(same_bits(dx1, dx3));
  EXPECT_TRUE(same_bits(sums1.sums, sums3.sums));
}

struct AttentionRun {
  AttentionRun(kernels::Context& context, ConstTensorView q, ConstTensorView k, ConstTensorView v,
               std::int64_t window)
      : y(DType::bf16, q.shape()), lse(DType::f32, {q.dim(0), q.dim(2), q.dim(1)}) {
    kernels::attention_forward(context, y, lse, q, k, v, 0.25F, window);
  }
  Tensor y, lse;
};

TEST_P(Bf16UnitsTest, WhatAQueryDoesNotSeeCannotTouchIt) {
  constexpr std::int64_t T = 205, H = 2, D = 20;
  const Tensor q = bf16_random({1, T, H, D}, "q"), k = bf16_random({1, T, 1, D}, "k"),
               v = bf16_random({1, T, 1, D}, "v");
  for (const std::int64_t window : {std::int64_t{0}, std::int64_t{30}}) {
    const AttentionRun clean(context, q, k, v, window);
    for (const std::int64_t bad : {std::int64_t{51}, std::int64_t{96}, std::int64_t{130}}) {
      const Tensor bad_q = as_bf16(as_f32(q)), bad_k = as_bf16(as_f32(k)), bad_v = as_bf16(as_f32(v));
      std::fill_n(bad_k.data<BFloat16>() + bad * D, D, BFloat16(NAN));
      std::fill_n(bad_v.data<BFloat16>() + bad * D, D, BFloat16(NAN));
      const AttentionRun spoiled(context, bad_q, bad_k, bad_v, window);
      for (std::int64_t t = 0; t < T; ++t) {
        const bool sees = t >= bad && (window == 0 || t < bad + window);
        const auto row = [&](const AttentionRun& run) { return run.y.view().at(0).at(t); };
        if (sees) {
          EXPECT_TRUE(std::isnan(values_of(row(spoiled))[0])) << t;
        } else {
          ASSERT_TRUE(same_bits(row(clean), row(spoiled))) << "query " << t << ", key " << bad;
        }
      }
    }
  }
}

TEST_P(Bf16UnitsTest, ThreadsChangeNoBitOfAttention) {
  constexpr std::int64_t B = 4, T = 150, H = 6, G = 2, D = 64;
  const Tensor q = bf16_random({B, T, H, D}, "q"), k = bf16_random({B, T, G, D}, "k"),
               v = bf16_random({B, T, G, D}, "v"), dy = bf16_random({B, T, H, D}, "dy");
  struct Gradients {
    Tensor dq{DType::bf16, {B, T, H, D}}, dk{DType::bf16, {B, T, G, D}}, dv{DType::bf16, {B, T, G, D}};
  };
  const auto backward = [&](kernels::Context& on, const AttentionRun& run, const Gradients& to) {
    kernels::attention_backward(on, to.dq, to.dk, to.dv, dy, q, k, v, run.y, run.lse, 0.25F, 0);
  };
  kernels::Context alone(1, context.isa());
  const AttentionRun expected(alone, q, k, v, 0);
  const Gradients expected_gradients, gradients;
  backward(alone, expected, expected_gradients);
  kernels::Context crew(3, context.isa());
  for (int repeat = 0; repeat < 10; ++repeat) {  // threads meet in one another's memory only now and then
    const AttentionRun run(crew, q, k, v, 0);
    backward(crew, run, gradients);
    ASSERT_TRUE(same_bits(run.y, expected.y)) << repeat;
    ASSERT_TRUE(same_bits(run.lse, expected.lse)) << repeat;
    ASSERT_TRUE(same_bits(gradients.dq, expected_gradients.dq)) << repeat;
    ASSERT_TRUE(same_bits(gradients.dk, expected_gradients.dk)) << repeat;
    ASSERT_TRUE(same_bits(gradients.dv, expected_gradients.dv)) << repeat;
  }
}

TEST_P(Bf16UnitsTest, QueriesHaveTheSameBitsWhateverFollowsThem) {
  constexpr std::int64_t T = 205, H = 2, D = 24;
  const Tensor q = bf16_random({1, T, H, D}, "q"), k = bf16_random({1, T, 1, D}, "k"),
               v = bf16_random({1, T, 1, D}, "v");
  const auto part = [](const Tensor& tensor, std::int64_t first, std::int64_t count) {
    const ConstTensorView all = tensor.view().at(0);
    return all.rows(first, count).reshaped({1, count, all.dim(1), all.dim(2)});
  };
  for (const std::int64_t window : {0, 1, 23, 96, 190}) {
    const AttentionRun whole(context, q, k, v, window);
    for (const std::int64_t length : {1, 2, 17, 48, 95, 96, 97, 193, 204}) {
      const AttentionRun shorter(context, part(q, 0, length), part(k, 0, length), part(v, 0, length), window);
      EXPECT_TRUE(same_bits(shorter.y, part(whole.y, 0, length))) << window << " " << length;
      const std::int64_t newest = std::min<std::int64_t>(length, 3);  // against cached keys, as in decoding
      const AttentionRun decoded(context, part(q, length - newest, newest), part(k, 0, length),
                                 part(v, 0, length), window);
      EXPECT_TRUE(same_bits(decoded.y, part(whole.y, length - newest, newest))) << window << " " << length;
    }
  }
}

TEST_P(Bf16UnitsTest, GradientsOfAttentionDependOnTheirSequenceOnly) {
  constexpr std::int64_t T = 130, H = 4, G = 2, D = 24;
  const Tensor q = bf16_random({2, T, H, D}, "q"), k = bf16_random({2, T, G, D}, "k"),
               v = bf16_random({2, T, G, D}, "v"), dy = bf16_random({2, T, H, D}, "dy");
  const auto second = [](const Tensor& tensor) { return tensor.view().rows(1, 1); };
  const AttentionRun both(context, q, k, v, 0);
  const Tensor dq(DType::bf16, {2, T, H, D}), dk(DType::bf16, {2, T, G, D}), dv(DType::bf16, {2, T, G, D}),
      dq1(DType::bf16, {1, T, H, D}), dk1(DType::bf16, {1, T, G, D}), dv1(DType::bf16, {1, T, G, D});
  for (int repeat = 0; repeat < 2; ++repeat)  // overwritten, not added to
    kernels::attention_backward(context, dq, dk, dv, dy, q, k, v, both.y, both.lse, 0.25F, 0);
  kernels::Context alone(1, context.isa());
  kernels::attention_backward(alone, dq1, dk1, dv1, second(dy), second(q), second(k), second(v),
                              second(both.y), second(both.lse), 0.25F, 0);
  EXPECT_TRUE(same_bits(dq1, second(dq)));
  EXPECT_TRUE(same_bits(dk1, second(dk)));
  EXPECT_TRUE(same_bits(dv1, second(dv)));
}

SWITCHYARD_ON_ALL_BF16_LEVELS(Bf16UnitsTest);

std::vector<CpuLevel> levels_with_units() {
  std::vector<CpuLevel> levels = all_bf16_levels();
  std::erase_if(levels, [](const CpuLevel& level) { return level.isa < Isa::avx512_bf16; });
  return levels;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16OrderTest);  // a processor without either unit
INSTANTIATE_TEST_SUITE_P(Cpu, Bf16OrderTest, testing::ValuesIn(levels_with_units()), cpu_level_name);

}  // namespace
}  // namespace switchyard::test
