#include "kernels/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/attention.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

struct Case {
  std::int64_t B, T, S, H, G, D;
};

struct Inputs {
  std::vector<double> q, k, v, dy;
  float scale;
};

Inputs make_inputs(const Case& c) {
  return {
      as_f32(random_values(c.B * c.T * c.H * c.D, "q")), as_f32(random_values(c.B * c.S * c.G * c.D, "k")),
      as_f32(random_values(c.B * c.S * c.G * c.D, "v")), as_f32(random_values(c.B * c.T * c.H * c.D, "dy")),
      static_cast<float>(1 / std::sqrt(static_cast<double>(c.D)))};
}

TEST(AttentionReference, GradientsAgreeWithComplexStep) {
  const Case c{2, 4, 4, 4, 2, 3};
  const Inputs in = make_inputs(c);
  std::vector<double> y(in.q.size()), lse(32), dq(in.q.size()), dk(in.k.size()), dv(in.v.size());
  kernels::reference::attention_forward(y.data(), lse.data(), in.q.data(), in.k.data(), in.v.data(), c.B, c.T,
                                        c.S, c.H, c.G, c.D, in.scale);
  kernels::reference::attention_backward(dq.data(), dk.data(), dv.data(), in.dy.data(), in.q.data(),
                                         in.k.data(), in.v.data(), y.data(), lse.data(), c.B, c.T, c.H, c.G,
                                         c.D, in.scale);
  const auto expected = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> out(in.q.size()), statistics(32);
        kernels::reference::attention_forward(out.data(), statistics.data(), inputs[0].data(),
                                              inputs[1].data(), inputs[2].data(), c.B, c.T, c.S, c.H, c.G,
                                              c.D, in.scale);
        return out;
      },
      {in.q, in.k, in.v}, in.dy);
  expect_close(dq, expected[0], 1e-10, "dq");
  expect_close(dk, expected[1], 1e-10, "dk");
  expect_close(dv, expected[2], 1e-10, "dv");
}

struct Outputs {
  explicit Outputs(const Case& c)
      : y(DType::f32, {c.B, c.T, c.H, c.D}),
        lse(DType::f32, {c.B, c.H, c.T}),
        dq(DType::f32, {c.B, c.T, c.H, c.D}),
        dk(DType::f32, {c.B, c.S, c.G, c.D}),
        dv(DType::f32, {c.B, c.S, c.G, c.D}) {}
  kernels::Tensor y, lse, dq, dk, dv;
};

class AttentionTest : public CpuOpTest {
 protected:
  void compare(const Case& c) {
    SCOPED_TRACE("B=" + std::to_string(c.B) + " T=" + std::to_string(c.T) + " S=" + std::to_string(c.S) +
                 " H=" + std::to_string(c.H) + " G=" + std::to_string(c.G) + " D=" + std::to_string(c.D));
    const Inputs in = make_inputs(c);
    const auto q = f32_tensor({c.B, c.T, c.H, c.D}, in.q), k = f32_tensor({c.B, c.S, c.G, c.D}, in.k),
               v = f32_tensor({c.B, c.S, c.G, c.D}, in.v), dy = f32_tensor({c.B, c.T, c.H, c.D}, in.dy);
    std::vector<double> y(in.q.size()), lse(static_cast<std::size_t>(c.B * c.H * c.T));
    kernels::reference::attention_forward(y.data(), lse.data(), in.q.data(), in.k.data(), in.v.data(), c.B,
                                          c.T, c.S, c.H, c.G, c.D, in.scale);
    const Outputs out(c);
    kernels::attention_forward(context, out.y, out.lse, q, k, v, in.scale);
    // An error in a score shows in every weight: the scores are sums of D terms.
    const double tolerance = f32_tolerance(c.S) + f32_tolerance(c.D);
    expect_close(values_of(out.y), y, tolerance, "y");
    expect_close(values_of(out.lse), lse, tolerance, "lse", 1.0);
    if (c.S != c.T) return;

    std::vector<double> dq(in.q.size()), dk(in.k.size()), dv(in.v.size());
    kernels::reference::attention_backward(dq.data(), dk.data(), dv.data(), in.dy.data(), in.q.data(),
                                           in.k.data(), in.v.data(), y.data(), lse.data(), c.B, c.T, c.H, c.G,
                                           c.D, in.scale);
    for (int repeat = 0; repeat < 2; ++repeat)  // overwritten, not added to
      kernels::attention_backward(context, out.dq, out.dk, out.dv, dy, q, k, v, out.y, out.lse, in.scale);
    expect_close(values_of(out.dq), dq, tolerance, "dq", 1.0);
    expect_close(values_of(out.dk), dk, tolerance, "dk", 1.0);
    expect_close(values_of(out.dv), dv, tolerance, "dv", 1.0);
  }
};

TEST_P(AttentionTest, AgreesWithTheReference) {
  for (const std::int64_t T : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33}) compare({1, T, T, 2, 1, 16});
  for (const std::int64_t D : {1, 3, 8, 15, 17, 31, 33, 48, 63, 64, 65}) compare({1, 11, 11, 2, 2, D});
  for (const std::int64_t T : {47, 48, 49, 95, 96, 97, 145, 200}) compare({1, T, T, 1, 1, 20});
  compare({3, 21, 21, 6, 2, 12});
  compare({2, 100, 100, 3, 3, 24});
  compare({2, 1, 5, 4, 2, 16});    // decoding: fewer queries than keys
  compare({1, 3, 130, 2, 1, 16});  // over more than one block of keys
  compare({0, 4, 4, 2, 1, 8});
}

TEST_P(AttentionTest, QueriesHaveTheSameBitsWhateverFollowsThem) {
  const Case c{1, 205, 205, 2, 1, 24};
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({1, c.T, c.H, c.D}, in.q), k = f32_tensor({1, c.S, c.G, c.D}, in.k),
             v = f32_tensor({1, c.S, c.G, c.D}, in.v);
  const Outputs out(c);
  kernels::attention_forward(context, out.y, out.lse, q, k, v, in.scale);
  const auto first_rows = [](const kernels::Tensor& tensor, std::int64_t rows) {
    return tensor.view().at(0).rows(0, rows).reshaped({1, rows, tensor.view().dim(2), tensor.view().dim(3)});
  };
  for (const std::int64_t T : {1, 2, 5, 16, 17, 48, 95, 96, 97, 100, 193, 204}) {
    const Outputs shorter({1, T, T, c.H, c.G, c.D});
    kernels::attention_forward(context, shorter.y, shorter.lse, first_rows(q, T), first_rows(k, T),
                               first_rows(v, T), in.scale);
    EXPECT_TRUE(same_bits(shorter.y, first_rows(out.y, T))) << T;
    // The newest queries alone against the cached keys, as decoding does.
    for (const std::int64_t count : {std::int64_t{1}, std::min<std::int64_t>(T, 3)}) {
      const Case newest{1, count, T, c.H, c.G, c.D};
      const Outputs decoded(newest);
      const ConstTensorView rows = q.view().at(0).rows(T - count, count).reshaped({1, count, c.H, c.D});
      kernels::attention_forward(context, decoded.y, decoded.lse, rows, first_rows(k, T), first_rows(v, T),
                                 in.scale);
      EXPECT_TRUE(
          same_bits(decoded.y, out.y.view().at(0).rows(T - count, count).reshaped({1, count, c.H, c.D})))
          << T << " " << count;
      for (std::int64_t h = 0; h < c.H; ++h)
        EXPECT_EQ(decoded.lse.data<float>()[h * count], out.lse.data<float>()[h * c.T + T - count]);
    }
  }
}

TEST_P(AttentionTest, WhatAQueryDoesNotSeeCannotTouchIt) {
  const Case c{1, 100, 100, 1, 1, 16};
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({1, c.T, 1, c.D}, in.q), k = f32_tensor({1, c.S, 1, c.D}, in.k),
             v = f32_tensor({1, c.S, 1, c.D}, in.v);
  const Outputs clean(c), spoiled(c);
  kernels::attention_forward(context, clean.y, clean.lse, q, k, v, in.scale);
  constexpr std::int64_t kFirst = 51;
  for (const kernels::Tensor* tensor : {&q, &k, &v})
    std::fill(tensor->data<float>() + kFirst * c.D, tensor->data<float>() + c.S * c.D, NAN);
  kernels::attention_forward(context, spoiled.y, spoiled.lse, q, k, v, in.scale);
  EXPECT_TRUE(same_bits(clean.y.view().at(0).rows(0, kFirst), spoiled.y.view().at(0).rows(0, kFirst)));
  EXPECT_TRUE(std::isnan(spoiled.y.data<float>()[kFirst * c.D]));
}

TEST_P(AttentionTest, SequencesAreIndependent) {
  const Case c{3, 60, 60, 4, 2, 20};
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({c.B, c.T, c.H, c.D}, in.q), k = f32_tensor({c.B, c.S, c.G, c.D}, in.k),
             v = f32_tensor({c.B, c.S, c.G, c.D}, in.v), dy = f32_tensor({c.B, c.T, c.H, c.D}, in.dy);
  const Outputs out(c);
  kernels::attention_forward(context, out.y, out.lse, q, k, v, in.scale);
  kernels::attention_backward(context, out.dq, out.dk, out.dv, dy, q, k, v, out.y, out.lse, in.scale);
  for (std::int64_t b = 0; b < c.B; ++b) {
    const auto of = [b](const kernels::Tensor& tensor) { return tensor.view().rows(b, 1); };
    const Outputs alone({1, c.T, c.S, c.H, c.G, c.D});
    kernels::attention_forward(context, alone.y, alone.lse, of(q), of(k), of(v), in.scale);
    kernels::attention_backward(context, alone.dq, alone.dk, alone.dv, of(dy), of(q), of(k), of(v), alone.y,
                                alone.lse, in.scale);
    EXPECT_TRUE(same_bits(alone.y, of(out.y)));
    EXPECT_TRUE(same_bits(alone.lse, of(out.lse)));
    EXPECT_TRUE(same_bits(alone.dq, of(out.dq)));
    EXPECT_TRUE(same_bits(alone.dk, of(out.dk)));
    EXPECT_TRUE(same_bits(alone.dv, of(out.dv)));
  }
}

TEST_P(AttentionTest, LargeScoresDoNotOverflow) {
  const Case c{1, 120, 120, 1, 1, 16};
  Inputs in = make_inputs(c);
  for (double& value : in.q) value *= 300;
  const auto q = f32_tensor({1, c.T, 1, c.D}, in.q), k = f32_tensor({1, c.S, 1, c.D}, in.k),
             v = f32_tensor({1, c.S, 1, c.D}, in.v), dy = f32_tensor({1, c.T, 1, c.D}, in.dy);
  const Outputs out(c);
  kernels::attention_forward(context, out.y, out.lse, q, k, v, in.scale);
  kernels::attention_backward(context, out.dq, out.dk, out.dv, dy, q, k, v, out.y, out.lse, in.scale);
  double largest = 0;
  for (const double value : in.v) largest = std::max(largest, std::abs(value));
  for (const double value : values_of(out.y)) EXPECT_LE(std::abs(value), largest * (1 + 1e-5));
  for (const kernels::Tensor* tensor : {&out.lse, &out.dq, &out.dk, &out.dv})
    for (const double value : values_of(*tensor)) EXPECT_TRUE(std::isfinite(value));
}

SWITCHYARD_ON_ALL_CPU_LEVELS(AttentionTest);

TEST(AttentionThreads, ResultsDoNotDependOnTheNumberOfThreads) {
  const Case c{2, 150, 150, 4, 2, 33};
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({c.B, c.T, c.H, c.D}, in.q), k = f32_tensor({c.B, c.S, c.G, c.D}, in.k),
             v = f32_tensor({c.B, c.S, c.G, c.D}, in.v), dy = f32_tensor({c.B, c.T, c.H, c.D}, in.dy);
  const Outputs one(c), five(c);
  for (const auto& [threads, out] : {std::pair{1, &one}, {5, &five}}) {
    kernels::Context context(threads);
    kernels::attention_forward(context, out->y, out->lse, q, k, v, in.scale);
    kernels::attention_backward(context, out->dq, out->dk, out->dv, dy, q, k, v, out->y, out->lse, in.scale);
  }
  EXPECT_TRUE(same_bits(one.y, five.y));
  EXPECT_TRUE(same_bits(one.dq, five.dq));
  EXPECT_TRUE(same_bits(one.dk, five.dk));
  EXPECT_TRUE(same_bits(one.dv, five.dv));
}

}  // namespace
}  // namespace switchyard::test
