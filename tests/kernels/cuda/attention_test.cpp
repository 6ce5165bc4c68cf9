// Attention of the CUDA back end through its op, in both dtypes and so in both forms, against the
// specification.
#include "kernels/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/attention.h"
#include "tests/support/cuda_on_host/op_dtypes.h"

namespace switchyard::test {
namespace {

struct Case {
  std::int64_t B, T, S, H, G, D, window = 0;
};

struct Tensors {
  kernels::Tensor y, lse, dq, dk, dv;
};

class CudaAttention : public CudaOpTest {
 protected:
  static Tensors outputs(const Case& c) {
    return {kernels::Tensor(dtype(), {c.B, c.T, c.H, c.D}), kernels::Tensor(DType::f32, {c.B, c.H, c.T}),
            kernels::Tensor(dtype(), {c.B, c.T, c.H, c.D}), kernels::Tensor(dtype(), {c.B, c.S, c.G, c.D}),
            kernels::Tensor(dtype(), {c.B, c.S, c.G, c.D})};
  }
  void compare(const Case& c) {
    SCOPED_TRACE("T=" + std::to_string(c.T) + " S=" + std::to_string(c.S) + " D=" + std::to_string(c.D) +
                 " window=" + std::to_string(c.window));
    const auto queries = c.B * c.T * c.H * c.D, keys = c.B * c.S * c.G * c.D;
    const auto q = values(queries, "q"), k = values(keys, "k"), v = values(keys, "v"),
               dy = values(queries, "dy");
    const auto tq = tensor({c.B, c.T, c.H, c.D}, q), tk = tensor({c.B, c.S, c.G, c.D}, k),
               tv = tensor({c.B, c.S, c.G, c.D}, v), tdy = tensor({c.B, c.T, c.H, c.D}, dy);
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.D)));
    std::vector<double> y(q.size()), lse(static_cast<std::size_t>(c.B * c.H * c.T)), dq(q.size()),
        dk(k.size()), dv(v.size());
    kernels::reference::attention_forward(y.data(), lse.data(), q.data(), k.data(), v.data(), c.B, c.T, c.S,
                                          c.H, c.G, c.D, scale, c.window);
    const Tensors out = outputs(c);
    kernels::attention_forward(context, out.y, out.lse, tq, tk, tv, scale, c.window);
    // Weights and gradients of scores are rounded to bf16 between the two products, and the saved y once
    // more.
    const double tolerance = f32_tolerance(c.S) + f32_tolerance(c.D) + 4 * step_of(dtype());
    expect_close(float_values(out.y), y, tolerance, "y");
    expect_close(values_of(out.lse), lse, f32_tolerance(c.S) + f32_tolerance(c.D), "lse", 1.0);
    if (c.S != c.T) return;
    kernels::reference::attention_backward(dq.data(), dk.data(), dv.data(), dy.data(), q.data(), k.data(),
                                           v.data(), y.data(), lse.data(), c.B, c.T, c.H, c.G, c.D, scale,
                                           c.window);
    kernels::attention_backward(context, out.dq, out.dk, out.dv, tdy, tq, tk, tv, out.y, out.lse, scale,
                                c.window);
    expect_close(float_values(out.dq), dq, tolerance, "dq", 1.0);
    expect_close(float_values(out.dk), dk, tolerance, "dk", 1.0);
    expect_close(float_values(out.dv), dv, tolerance, "dv", 1.0);
  }
};

TEST_P(CudaAttention, AgreesWithTheReference) {
  compare({1, 1, 1, 2, 1, 8});
  compare({2, 37, 37, 2, 1, 24});
  compare({1, 70, 70, 1, 1, 64});  // more than one tile of queries and of keys
  compare({1, 9, 9, 1, 1, 128});   // the widest head of the warp form
  compare({1, 7, 7, 1, 1, 20});    // a head that only the plain form takes
  compare({1, 3, 3, 1, 1, 200});
  compare({1, 2, 75, 4, 2, 16});  // fewer queries than keys
  compare({0, 4, 4, 2, 1, 8});
}

TEST_P(CudaAttention, AgreesWithTheReferenceWithinAWindow) {
  compare({1, 90, 90, 1, 1, 16, 5});
  compare({1, 70, 70, 2, 2, 16, 64});
  compare({1, 3, 80, 2, 1, 8, 11});
  compare({1, 5, 5, 1, 1, 8, 100});
}

TEST_P(CudaAttention, QueriesHaveTheSameBitsWhateverFollowsThem) {
  constexpr std::int64_t kS = 75, kD = 24;
  for (const std::int64_t window : {0, 13}) {
    const auto q = tensor({1, kS, 1, kD}, values(kS * kD, "q")),
               k = tensor({1, kS, 1, kD}, values(kS * kD, "k")),
               v = tensor({1, kS, 1, kD}, values(kS * kD, "v"));
    const Tensors whole = outputs({1, kS, kS, 1, 1, kD});
    kernels::attention_forward(context, whole.y, whole.lse, q, k, v, 0.3F, window);
    for (const std::int64_t S : {1, 40, 64, 65}) {
      for (const std::int64_t T : {std::int64_t{1}, S}) {
        const auto some = [](const kernels::Tensor& of, std::int64_t first, std::int64_t count) {
          return of.view().at(0).rows(first, count).reshaped({1, count, 1, kD});
        };
        const Tensors part = outputs({1, T, S, 1, 1, kD});
        kernels::attention_forward(context, part.y, part.lse, some(q, S - T, T), some(k, 0, S), some(v, 0, S),
                                   0.3F, window);
        EXPECT_TRUE(same_bits(part.y, some(whole.y, S - T, T))) << S << " " << T;
        EXPECT_EQ(part.lse.data<float>()[T - 1], whole.lse.data<float>()[S - 1]) << S << " " << T;
      }
    }
  }
}

TEST_P(CudaAttention, SequencesAreIndependent) {
  const Case c{2, 40, 40, 2, 1, 16, 9};
  const auto q = tensor({c.B, c.T, c.H, c.D}, values(c.B * c.T * c.H * c.D, "q")),
             k = tensor({c.B, c.S, c.G, c.D}, values(c.B * c.S * c.G * c.D, "k")),
             v = tensor({c.B, c.S, c.G, c.D}, values(c.B * c.S * c.G * c.D, "v")),
             dy = tensor({c.B, c.T, c.H, c.D}, values(c.B * c.T * c.H * c.D, "dy"));
  const Tensors all = outputs(c);
  kernels::attention_forward(context, all.y, all.lse, q, k, v, 0.25F, c.window);
  kernels::attention_backward(context, all.dq, all.dk, all.dv, dy, q, k, v, all.y, all.lse, 0.25F, c.window);
  const auto of = [](const kernels::Tensor& tensor) { return tensor.view().rows(1, 1); };
  const Tensors one = outputs({1, c.T, c.S, c.H, c.G, c.D});
  kernels::attention_forward(context, one.y, one.lse, of(q), of(k), of(v), 0.25F, c.window);
  kernels::attention_backward(context, one.dq, one.dk, one.dv, of(dy), of(q), of(k), of(v), one.y, one.lse,
                              0.25F, c.window);
  EXPECT_TRUE(same_bits(one.y, of(all.y)));
  EXPECT_TRUE(same_bits(one.lse, of(all.lse)));
  EXPECT_TRUE(same_bits(one.dq, of(all.dq)));
  EXPECT_TRUE(same_bits(one.dk, of(all.dk)));
  EXPECT_TRUE(same_bits(one.dv, of(all.dv)));
}

TEST_P(CudaAttention, RefusesHeadsWiderThanItsKernels) {
  const Case c{1, 2, 2, 1, 1, 264};
  const Tensors out = outputs(c);
  const auto q = tensor({1, 2, 1, 264}, values(528, "q"));
  EXPECT_THROW(kernels::attention_forward(context, out.y, out.lse, q, q, q, 1.0F), DeviceError);
}

SWITCHYARD_ON_CUDA_DTYPES(CudaAttention);

}  // namespace
}  // namespace switchyard::test
