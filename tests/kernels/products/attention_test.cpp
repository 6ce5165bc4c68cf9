#include "kernels/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/attention.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

struct Case {
  std::int64_t B, T, S, H, G, D;
  std::int64_t window = 0;
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

class AttentionReference : public testing::TestWithParam<std::int64_t> {};

TEST_P(AttentionReference, GradientsAgreeWithComplexStep) {
  const Case c{2, 4, 4, 4, 2, 3, GetParam()};
  const Inputs in = make_inputs(c);
  std::vector<double> y(in.q.size()), lse(32), dq(in.q.size()), dk(in.k.size()), dv(in.v.size());
  kernels::reference::attention_forward(y.data(), lse.data(), in.q.data(), in.k.data(), in.v.data(), c.B, c.T,
                                        c.S, c.H, c.G, c.D, in.scale, c.window);
  kernels::reference::attention_backward(dq.data(), dk.data(), dv.data(), in.dy.data(), in.q.data(),
                                         in.k.data(), in.v.data(), y.data(), lse.data(), c.B, c.T, c.H, c.G,
                                         c.D, in.scale, c.window);
  const auto expected = complex_step_gradients(
      [&](const std::vector<std::vector<Complex>>& inputs) {
        std::vector<Complex> out(in.q.size()), statistics(32);
        kernels::reference::attention_forward(out.data(), statistics.data(), inputs[0].data(),
                                              inputs[1].data(), inputs[2].data(), c.B, c.T, c.S, c.H, c.G,
                                              c.D, in.scale, c.window);
        return out;
      },
      {in.q, in.k, in.v}, in.dy);
  // With a window of 1 nothing depends on q and k: the terms of their gradients, of size 1, cancel.
  expect_close(dq, expected[0], 1e-10, "dq", 1.0);
  expect_close(dk, expected[1], 1e-10, "dk", 1.0);
  expect_close(dv, expected[2], 1e-10, "dv");
}

TEST_P(AttentionReference, AQuerySeesTheNewestKeysOfItsWindow) {
  // Queries of zeros weigh all keys alike: an output is the mean of the values that were seen.
  const std::int64_t S = 4, window = GetParam();
  const std::vector<double> q(4, 0.0), k(4, 1.0), v = {1, 10, 100, 1000};
  std::vector<double> y(4), lse(4);
  kernels::reference::attention_forward(y.data(), lse.data(), q.data(), k.data(), v.data(), 1, S, S, 1, 1, 1,
                                        1.0, window);
  for (std::int64_t t = 0; t < S; ++t) {
    const std::int64_t count = window == 0 ? t + 1 : std::min(t + 1, window);
    double sum = 0;
    for (std::int64_t s = t - count + 1; s <= t; ++s) sum += v[static_cast<std::size_t>(s)];
    EXPECT_NEAR(y[static_cast<std::size_t>(t)], sum / static_cast<double>(count), 1e-12) << t;
    EXPECT_NEAR(lse[static_cast<std::size_t>(t)], std::log(static_cast<double>(count)), 1e-12) << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, AttentionReference, testing::Values(0, 1, 2, 3, 4, 9));

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
  void expect_same_bits_in_pieces(const Case& c);
  void compare(const Case& c) {
    SCOPED_TRACE("B=" + std::to_string(c.B) + " T=" + std::to_string(c.T) + " S=" + std::to_string(c.S) +
                 " H=" + std::to_string(c.H) + " G=" + std::to_string(c.G) + " D=" + std::to_string(c.D) +
                 " window=" + std::to_string(c.window));
    const Inputs in = make_inputs(c);
    const auto q = f32_tensor({c.B, c.T, c.H, c.D}, in.q), k = f32_tensor({c.B, c.S, c.G, c.D}, in.k),
               v = f32_tensor({c.B, c.S, c.G, c.D}, in.v), dy = f32_tensor({c.B, c.T, c.H, c.D}, in.dy);
    std::vector<double> y(in.q.size()), lse(static_cast<std::size_t>(c.B * c.H * c.T));
    kernels::reference::attention_forward(y.data(), lse.data(), in.q.data(), in.k.data(), in.v.data(), c.B,
                                          c.T, c.S, c.H, c.G, c.D, in.scale, c.window);
    const Outputs out(c);
    kernels::attention_forward(context, out.y, out.lse, q, k, v, in.scale, c.window);
    // An error in a score shows in every weight: the scores are sums of D terms.
    const double tolerance = f32_tolerance(c.S) + f32_tolerance(c.D);
    expect_close(values_of(out.y), y, tolerance, "y");
    expect_close(values_of(out.lse), lse, tolerance, "lse", 1.0);
    if (c.S != c.T) return;

    std::vector<double> dq(in.q.size()), dk(in.k.size()), dv(in.v.size());
    kernels::reference::attention_backward(dq.data(), dk.data(), dv.data(), in.dy.data(), in.q.data(),
                                           in.k.data(), in.v.data(), y.data(), lse.data(), c.B, c.T, c.H, c.G,
                                           c.D, in.scale, c.window);
    for (int repeat = 0; repeat < 2; ++repeat)  // overwritten, not added to
      kernels::attention_backward(context, out.dq, out.dk, out.dv, dy, q, k, v, out.y, out.lse, in.scale,
                                  c.window);
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

TEST_P(AttentionTest, AgreesWithTheReferenceWithinAWindow) {
  for (const std::int64_t window :
       {1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 47, 48, 49, 95, 96, 97, 150, 199, 200, 201})
    compare({1, 200, 200, 2, 1, 20, window});
  for (const std::int64_t T : {1, 5, 96, 97, 290}) compare({1, T, T, 1, 1, 16, 5});
  compare({2, 300, 300, 2, 2, 8, 100});
  compare({2, 1, 130, 4, 2, 16, 20});  // decoding
  compare({1, 9, 130, 2, 1, 16, 31});
  compare({1, 3, 5, 2, 1, 16, 2});
}

TEST_P(AttentionTest, QueriesHaveTheSameBitsWhateverFollowsThem) {
  for (const std::int64_t window : {0, 1, 5, 23, 96, 100, 190}) {
    SCOPED_TRACE(window);
    expect_same_bits_in_pieces({1, 205, 205, 2, 1, 24, window});
  }
}

TEST_P(AttentionTest, AWindowThatReachesBackToTheStartChangesNoBit) {
  const Case all{1, 120, 120, 2, 1, 24}, wide{1, 120, 120, 2, 1, 24, 120};
  const Inputs in = make_inputs(all);
  const auto q = f32_tensor({1, all.T, all.H, all.D}, in.q), k = f32_tensor({1, all.S, all.G, all.D}, in.k),
             v = f32_tensor({1, all.S, all.G, all.D}, in.v), dy = f32_tensor({1, all.T, all.H, all.D}, in.dy);
  const Outputs a(all), b(wide);
  for (const auto& [out, window] : {std::pair{&a, all.window}, {&b, wide.window}}) {
    kernels::attention_forward(context, out->y, out->lse, q, k, v, in.scale, window);
    kernels::attention_backward(context, out->dq, out->dk, out->dv, dy, q, k, v, out->y, out->lse, in.scale,
                                window);
  }
  EXPECT_TRUE(same_bits(a.y, b.y));
  EXPECT_TRUE(same_bits(a.lse, b.lse));
  EXPECT_TRUE(same_bits(a.dq, b.dq));
  EXPECT_TRUE(same_bits(a.dk, b.dk));
  EXPECT_TRUE(same_bits(a.dv, b.dv));
}

void AttentionTest::expect_same_bits_in_pieces(const Case& c) {
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({1, c.T, c.H, c.D}, in.q), k = f32_tensor({1, c.S, c.G, c.D}, in.k),
             v = f32_tensor({1, c.S, c.G, c.D}, in.v);
  const Outputs out(c);
  kernels::attention_forward(context, out.y, out.lse, q, k, v, in.scale, c.window);
  const auto first_rows = [](const kernels::Tensor& tensor, std::int64_t rows) {
    return tensor.view().at(0).rows(0, rows).reshaped({1, rows, tensor.view().dim(2), tensor.view().dim(3)});
  };
  for (const std::int64_t T : {1, 2, 5, 16, 17, 48, 95, 96, 97, 100, 193, 204}) {
    const Outputs shorter({1, T, T, c.H, c.G, c.D});
    kernels::attention_forward(context, shorter.y, shorter.lse, first_rows(q, T), first_rows(k, T),
                               first_rows(v, T), in.scale, c.window);
    EXPECT_TRUE(same_bits(shorter.y, first_rows(out.y, T))) << T;
    // The newest queries alone against the cached keys, as decoding does.
    for (const std::int64_t count : {std::int64_t{1}, std::min<std::int64_t>(T, 3)}) {
      const Case newest{1, count, T, c.H, c.G, c.D};
      const Outputs decoded(newest);
      const ConstTensorView rows = q.view().at(0).rows(T - count, count).reshaped({1, count, c.H, c.D});
      kernels::attention_forward(context, decoded.y, decoded.lse, rows, first_rows(k, T), first_rows(v, T),
                                 in.scale, c.window);
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

TEST_P(AttentionTest, WhatLeftTheWindowCannotTouchAQuery) {
  const Case c{1, 300, 300, 1, 1, 16, 70};
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({1, c.T, 1, c.D}, in.q), k = f32_tensor({1, c.S, 1, c.D}, in.k),
             v = f32_tensor({1, c.S, 1, c.D}, in.v);
  const Outputs clean(c), spoiled(c);
  kernels::attention_forward(context, clean.y, clean.lse, q, k, v, in.scale, c.window);
  constexpr std::int64_t kGone = 51;  // keys 0 .. 50; queries from 120 on see none of them
  for (const kernels::Tensor* tensor : {&k, &v})
    std::fill(tensor->data<float>(), tensor->data<float>() + kGone * c.D, NAN);
  kernels::attention_forward(context, spoiled.y, spoiled.lse, q, k, v, in.scale, c.window);
  const std::int64_t first = kGone + c.window - 1;
  EXPECT_TRUE(same_bits(clean.y.view().at(0).rows(first, c.T - first),
                        spoiled.y.view().at(0).rows(first, c.T - first)));
  EXPECT_TRUE(std::isnan(spoiled.y.data<float>()[(first - 1) * c.D]));
}

TEST_P(AttentionTest, SequencesAreIndependent) {
  const Case c{3, 60, 60, 4, 2, 20, 13};
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({c.B, c.T, c.H, c.D}, in.q), k = f32_tensor({c.B, c.S, c.G, c.D}, in.k),
             v = f32_tensor({c.B, c.S, c.G, c.D}, in.v), dy = f32_tensor({c.B, c.T, c.H, c.D}, in.dy);
  const Outputs out(c);
  kernels::attention_forward(context, out.y, out.lse, q, k, v, in.scale, c.window);
  kernels::attention_backward(context, out.dq, out.dk, out.dv, dy, q, k, v, out.y, out.lse, in.scale,
                              c.window);
  for (std::int64_t b = 0; b < c.B; ++b) {
    const auto of = [b](const kernels::Tensor& tensor) { return tensor.view().rows(b, 1); };
    const Outputs alone({1, c.T, c.S, c.H, c.G, c.D});
    kernels::attention_forward(context, alone.y, alone.lse, of(q), of(k), of(v), in.scale, c.window);
    kernels::attention_backward(context, alone.dq, alone.dk, alone.dv, of(dy), of(q), of(k), of(v), alone.y,
                                alone.lse, in.scale, c.window);
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
  const Case c{2, 150, 150, 4, 2, 33, 60};
  const Inputs in = make_inputs(c);
  const auto q = f32_tensor({c.B, c.T, c.H, c.D}, in.q), k = f32_tensor({c.B, c.S, c.G, c.D}, in.k),
             v = f32_tensor({c.B, c.S, c.G, c.D}, in.v), dy = f32_tensor({c.B, c.T, c.H, c.D}, in.dy);
  const Outputs one(c), five(c);
  for (const auto& [threads, out] : {std::pair{1, &one}, {5, &five}}) {
    kernels::Context context(threads);
    kernels::attention_forward(context, out->y, out->lse, q, k, v, in.scale, c.window);
    kernels::attention_backward(context, out->dq, out->dk, out->dv, dy, q, k, v, out->y, out->lse, in.scale,
                                c.window);
  }
  EXPECT_TRUE(same_bits(one.y, five.y));
  EXPECT_TRUE(same_bits(one.dq, five.dq));
  EXPECT_TRUE(same_bits(one.dk, five.dk));
  EXPECT_TRUE(same_bits(one.dv, five.dv));
}

}  // namespace
}  // namespace switchyard::test
