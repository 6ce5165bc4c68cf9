// Ops on rows in bf16. They widen what they load, compute as in fp32 and round once what they store; so every
// result must be, bit for bit, the fp32 op's result on the same values, rounded by BFloat16. With what the
// tests of each op show in fp32 (agreement with the specification, independence of rows), that is all there
// is to show.
#include <cmath>

#include "kernels/ops/cross_entropy.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/permute.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/swiglu.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using kernels::Tensor;

constexpr std::int64_t kWidths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100};

// The same values twice: as bf16, and as f32 for the op to be compared with.
struct Twin {
  Twin(Shape shape, const std::string& name, double scale = 1.0)
      : narrow(as_bf16(f32_tensor(shape, random_values(shape.elements(), name, scale)))),
        wide(as_f32(narrow)) {}
  Tensor narrow, wide;
};

// Memory for results, filled so that nothing left unwritten can agree.
struct Output {
  explicit Output(Shape shape) : narrow(DType::bf16, shape), wide(DType::f32, shape) {
    std::fill_n(narrow.data<BFloat16>(), shape.elements(), BFloat16(7.0F));
  }
  void expect_equal(const std::string& what) const { EXPECT_TRUE(same_bits(narrow, as_bf16(wide))) << what; }
  Tensor narrow, wide;
};

class Bf16RowsTest : public CpuOpTest {};

TEST_P(Bf16RowsTest, RoundsEveryKindOfNumberAsBFloat16Does) {
  // All upper halves of a float, each with lower halves around the points where rounding turns.
  constexpr std::uint32_t kLower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
  Tensor x(DType::f32, {65536, 6});
  for (std::uint32_t upper = 0; upper < 65536; ++upper)
    for (std::uint32_t i = 0; i < 6; ++i)
      x.data<float>()[upper * 6 + i] = std::bit_cast<float>(upper << 16 | kLower[i]);
  const Tensor y(DType::bf16, {65536, 6}), back(DType::f32, {65536, 6});
  kernels::convert(context, y, x);
  const Tensor expected = as_bf16(x);
  EXPECT_TRUE(same_bits(y, expected));
  kernels::convert(context, back, y);
  EXPECT_TRUE(same_bits(back, as_f32(expected)));
  for (const std::int64_t n :
       kWidths) {  // the ends of rows round as the rest, and nothing behind them is touched
    const Output out({n + 3});
    kernels::convert(context, out.narrow.view().rows(0, n), x.view().reshaped({65536 * 6}).rows(1000, n));
    EXPECT_TRUE(same_bits(out.narrow.view().rows(0, n), expected.view().reshaped({65536 * 6}).rows(1000, n)));
    for (std::int64_t i = n; i < n + 3; ++i)
      EXPECT_EQ(static_cast<float>(out.narrow.data<BFloat16>()[i]), 7.0F);
  }
  const Tensor copy(DType::f32, {65536, 6});
  kernels::convert(context, copy, x);
  EXPECT_TRUE(same_bits(copy, x));
  kernels::convert(context, Tensor(DType::bf16, {0, 5}), Tensor(DType::f32, {0, 5}));
}

TEST_P(Bf16RowsTest, AddsAnyMixture) {
  for (const std::int64_t C : kWidths) {
    const Twin a({5, C}, "a"), b({5, C}, "b", 0.01);
    const auto fine = f32_tensor({5, C}, random_values(5 * C, "fine"));  // more bits than bf16 has
    const Output all({5, C}), mixed({5, C});
    kernels::add(context, all.wide, a.wide, b.wide);
    kernels::add(context, all.narrow, a.narrow, b.narrow);
    all.expect_equal("bf16 + bf16");
    const Tensor wide(DType::f32, {5, C});
    kernels::add(context, wide, a.narrow, b.narrow);
    EXPECT_TRUE(same_bits(wide, all.wide));
    kernels::add(context, mixed.wide, a.wide, fine);
    kernels::add(context, mixed.narrow, a.narrow, fine);
    mixed.expect_equal("bf16 + f32");
    kernels::add(context, mixed.narrow, fine, a.narrow);
    mixed.expect_equal("f32 + bf16");
    kernels::add(context, a.narrow, a.narrow, fine);
    EXPECT_TRUE(same_bits(a.narrow, mixed.narrow)) << "in place";
    EXPECT_THROW(kernels::add(context, TensorView(wide.view().raw(), DType::bf16, {5, C}), wide, b.narrow),
                 InternalError);
  }
}

TEST_P(Bf16RowsTest, GatesRows) {
  for (const std::int64_t C : kWidths) {
    const Twin x({40, C}, "x"), dy({40, C}, "dy");
    const auto gate = f32_tensor({40, 1}, random_values(40, "gate", 2.0));
    const Output y({40, C}), dx({40, C});
    const Tensor dgate(DType::f32, {40, 1}), dgate16(DType::f32, {40, 1});
    kernels::row_gate_forward(context, y.wide, x.wide, gate);
    kernels::row_gate_forward(context, y.narrow, x.narrow, gate);
    kernels::row_gate_backward(context, dx.wide, dgate, dy.wide, x.wide, gate);
    kernels::row_gate_backward(context, dx.narrow, dgate16, dy.narrow, x.narrow, gate);
    y.expect_equal("y");
    dx.expect_equal("dx");
    EXPECT_TRUE(same_bits(dgate, dgate16));
  }
}

TEST_P(Bf16RowsTest, Clips) {
  for (const std::int64_t C : kWidths) {
    const Twin x({5, C}, "x"), dy({5, C}, "dy");
    const Output y({5, C}), dx({5, C});
    kernels::clip_forward(context, y.wide, x.wide, 0.7F);
    kernels::clip_forward(context, y.narrow, x.narrow, 0.7F);
    kernels::clip_backward(context, dx.wide, dy.wide, x.wide, 0.7F);
    kernels::clip_backward(context, dx.narrow, dy.narrow, x.narrow, 0.7F);
    y.expect_equal("y");
    dx.expect_equal("dx");
  }
}

TEST_P(Bf16RowsTest, Normalises) {
  for (const std::int64_t C : kWidths) {
    for (const std::int64_t N : {std::int64_t{0}, std::int64_t{5}, kernels::kGradientBlockRows + 3}) {
      const Twin x({N, C}, "x"), dy({N, C}, "dy"), residual({N, C}, "residual");
      const auto weight = f32_tensor({C}, random_values(C, "weight"));
      const Output y({N, C}), dx({N, C});
      const Tensor rstd(DType::f32, {N}), rstd16(DType::f32, {N});
      OwnedGradient sums({C}), sums16({C});
      kernels::rms_norm_forward(context, y.wide, rstd, x.wide, weight, 1e-5F);
      kernels::rms_norm_forward(context, y.narrow, rstd16, x.narrow, weight, 1e-5F);
      y.expect_equal("y");
      EXPECT_TRUE(same_bits(rstd, rstd16));
      kernels::rms_norm_backward(context, dx.wide, sums.view(), dy.wide, x.wide, weight, rstd, residual.wide);
      kernels::rms_norm_backward(context, dx.narrow, sums16.view(), dy.narrow, x.narrow, weight, rstd,
                                 residual.narrow);
      dx.expect_equal("dx");
      EXPECT_TRUE(same_bits(sums.sums, sums16.sums));
      kernels::rms_norm_backward(context, dy.narrow, sums16.view(), dy.narrow, x.narrow, weight, rstd,
                                 residual.narrow);
      EXPECT_TRUE(same_bits(dy.narrow, dx.narrow)) << "in place";
    }
  }
}

TEST_P(Bf16RowsTest, Rotates) {
  for (const std::int64_t half : kWidths) {
    const Tensor cosine(DType::f32, {9, half}), sine(DType::f32, {9, half});
    kernels::rope_tables(cosine, sine, 10000.0);
    for (const std::int64_t B : {0, 2}) {
      const Twin x({B, 5, 3, 2 * half}, "x"), dx({B, 5, 3, 2 * half}, "dx");
      kernels::rope_forward(context, x.wide, cosine, sine, 4);
      kernels::rope_forward(context, x.narrow, cosine, sine, 4);
      kernels::rope_backward(context, dx.wide, cosine, sine, 4);
      kernels::rope_backward(context, dx.narrow, cosine, sine, 4);
      EXPECT_TRUE(same_bits(x.narrow, as_bf16(x.wide)));
      EXPECT_TRUE(same_bits(dx.narrow, as_bf16(dx.wide)));
    }
  }
}

TEST_P(Bf16RowsTest, ActivatesByGates) {
  for (const std::int64_t F : kWidths) {
    for (const std::int64_t M : {0, 19}) {
      const Twin gate_up({M, 2 * F}, "gate_up", 3.0), dh({M, F}, "dh");
      const Output h({M, F}), d({M, 2 * F});
      kernels::swiglu_forward(context, h.wide, gate_up.wide);
      kernels::swiglu_forward(context, h.narrow, gate_up.narrow);
      kernels::swiglu_backward(context, d.wide, dh.wide, gate_up.wide);
      kernels::swiglu_backward(context, d.narrow, dh.narrow, gate_up.narrow);
      h.expect_equal("h");
      d.expect_equal("dgate_up");
      kernels::swiglu_backward(context, gate_up.narrow, dh.narrow, gate_up.narrow);
      EXPECT_TRUE(same_bits(gate_up.narrow, d.narrow)) << "in place";
    }
  }
}

TEST_P(Bf16RowsTest, EmbedsTokens) {
  for (const std::int64_t C : kWidths) {
    const std::int64_t N = kernels::kGradientBlockRows + 9;
    std::vector<std::int32_t> ids;
    for (std::int64_t n = 0; n < N; ++n) ids.push_back(static_cast<std::int32_t>(n * n % 7));
    const auto tokens = i32_tensor({N}, ids);
    const Twin weight({7, C}, "weight"), dx({N, C}, "dx");
    const Output x({N, C});
    OwnedGradient sums({7, C}), sums16({7, C});
    kernels::embedding_forward(context, x.wide, tokens, weight.wide);
    kernels::embedding_forward(context, x.narrow, tokens, weight.narrow);
    kernels::embedding_backward(context, sums.view(), dx.wide, tokens);
    kernels::embedding_backward(context, sums16.view(), dx.narrow, tokens);
    x.expect_equal("x");
    EXPECT_TRUE(same_bits(sums.sums, sums16.sums));
  }
}

TEST_P(Bf16RowsTest, MovesRowsToExpertsAndBack) {
  const auto row_of_slot = i32_tensor({4, 2}, {3, 0, -1, 4, 1, 5, 2, -1});
  const auto slot_of_row = i32_tensor({8}, {1, 4, 6, 0, 3, 5, -1, -1});
  const auto weight = f32_tensor({4, 2}, random_values(8, "weight"));
  for (const std::int64_t C : kWidths) {
    const Twin x({4, C}, "x"), rows({6, C}, "rows"), base({4, C}, "base");
    const Output gathered({6, C}), dx({4, C}), y({4, C}), y_base({4, C}), drows({6, C});
    const Tensor dweight(DType::f32, {4, 2}), dweight16(DType::f32, {4, 2});
    kernels::gather_rows_forward(context, gathered.wide, x.wide, slot_of_row, 2);
    kernels::gather_rows_forward(context, gathered.narrow, x.narrow, slot_of_row, 2);
    kernels::gather_rows_backward(context, dx.wide, rows.wide, row_of_slot);
    kernels::gather_rows_backward(context, dx.narrow, rows.narrow, row_of_slot);
    kernels::combine_rows_forward(context, y.wide, rows.wide, weight, row_of_slot, {});
    kernels::combine_rows_forward(context, y.narrow, rows.narrow, weight, row_of_slot, {});
    kernels::combine_rows_forward(context, y_base.wide, rows.wide, weight, row_of_slot, base.wide);
    kernels::combine_rows_forward(context, y_base.narrow, rows.narrow, weight, row_of_slot, base.narrow);
    kernels::combine_rows_backward(context, drows.wide, dweight, x.wide, rows.wide, weight, row_of_slot);
    kernels::combine_rows_backward(context, drows.narrow, dweight16, x.narrow, rows.narrow, weight,
                                   row_of_slot);
    gathered.expect_equal("gathered");
    dx.expect_equal("dx");
    y.expect_equal("y");
    y_base.expect_equal("y with base");
    drows.expect_equal("drows");
    EXPECT_TRUE(same_bits(dweight, dweight16));
    kernels::combine_rows_backward(context, rows.narrow, dweight16, x.narrow, rows.narrow, weight,
                                   row_of_slot);
    EXPECT_TRUE(same_bits(rows.narrow, drows.narrow)) << "in place";
    EXPECT_TRUE(same_bits(dweight, dweight16));
  }
}

TEST_P(Bf16RowsTest, GradientsOfLogits) {
  for (const std::int64_t V : kWidths) {
    const auto logits = f32_tensor({6, V}, random_values(6 * V, "logits", 3.0));
    const auto target = static_cast<std::int32_t>(V / 2);
    const auto targets = i32_tensor({6}, {0, target, -1, target, -1, 0});
    const Tensor loss(DType::f32, {6}), lse(DType::f32, {6});
    const Output d({6, V});
    kernels::cross_entropy_forward(context, loss, lse, logits, targets);
    kernels::cross_entropy_backward(context, d.wide, logits, targets, lse, 0.3F);
    kernels::cross_entropy_backward(context, d.narrow, logits, targets, lse, 0.3F);
    d.expect_equal("dlogits");
  }
  const Tensor logits(DType::f32, {2, 4}), lse(DType::f32, {2});
  const TensorView same(logits.view().raw(), DType::bf16, {2, 4});
  EXPECT_THROW(kernels::cross_entropy_backward(context, same, logits, i32_tensor({2}, {0, 1}), lse, 1.0F),
               InternalError);
}

TEST_P(Bf16RowsTest, OperandsOfOneCallShareTheirDtype) {
  const Tensor x(DType::bf16, {2, 8}), y(DType::f32, {2, 8}), rstd(DType::f32, {2}), weight(DType::f32, {8});
  EXPECT_THROW(kernels::rms_norm_forward(context, y, rstd, x, weight, 1e-5F), InternalError);
  EXPECT_THROW(kernels::swiglu_forward(context, Tensor(DType::f32, {2, 4}), x), InternalError);
  EXPECT_THROW(kernels::convert(context, Tensor(DType::f64, {2, 8}), x), InternalError);
}

SWITCHYARD_ON_ALL_CPU_LEVELS(Bf16RowsTest);

}  // namespace
}  // namespace switchyard::test
