#include "kernels/ops/rope.h"

#include <cmath>

namespace switchyard::kernels {

namespace {

DType check_rope(const char* what_x, const char* what_table, TensorView x, ConstTensorView cosine,
                 ConstTensorView sine, std::int64_t first_position) {
  const std::int64_t T = x.dim(1);
  const std::int64_t D = x.dim(3);
  SWITCHYARD_CHECK(x.shape().ndim() == 4 && D % 2 == 0, "{} is (B, T, heads, D) with D even; got {}", what_x,
                   x.shape().text());
  const DType A = check_activation(what_x, x, x.shape());
  check_tensor(what_table, cosine, DType::f32, {cosine.dim(0), D / 2});
  check_tensor(what_table, sine, DType::f32, {cosine.dim(0), D / 2});
  SWITCHYARD_CHECK(first_position >= 0 && first_position + T <= cosine.dim(0),
                   "{}: positions {} to {} must lie within the {} of the tables", what_x, first_position,
                   first_position + T, cosine.dim(0));
  return A;
}

}  // namespace

void rope_tables(TensorView cosine, TensorView sine, double theta, const RopeScaling& scaling) {
  const std::int64_t T = cosine.dim(0);
  const std::int64_t half = cosine.dim(1);
  check_tensor("rope_tables: cosine", cosine, DType::f32, {T, half});
  check_tensor("rope_tables: sine", sine, DType::f32, {T, half});
  auto* pcosine = cosine.data<float>();
  auto* psine = sine.data<float>();
  const std::vector<double> frequencies = rope_frequencies(scaling, theta, half);
  const double factor = rope_attention_factor(scaling);
  for (std::int64_t i = 0; i < half; ++i) {
    const double frequency = frequencies[static_cast<std::size_t>(i)];
    for (std::int64_t t = 0; t < T; ++t) {
      const double angle = static_cast<double>(t) * frequency;
      pcosine[t * half + i] = static_cast<float>(factor * std::cos(angle));
      psine[t * half + i] = static_cast<float>(factor * std::sin(angle));
    }
  }
}

void rope_forward(Context& context, TensorView x, ConstTensorView cosine, ConstTensorView sine,
                  std::int64_t first_position) {
  const DType A = check_rope("rope_forward: x", "rope_forward: tables", x, cosine, sine, first_position);
  const auto elements = static_cast<double>(x.elements());
  const TraceScope trace(context.trace(), "rope_forward", 3 * elements, 2 * elements * element_bytes(A));
  with_backend(context,
               [&](auto backend) { Rope<backend()>::forward(context, x, cosine, sine, first_position); });
}

void rope_backward(Context& context, TensorView dx, ConstTensorView cosine, ConstTensorView sine,
                   std::int64_t first_position) {
  const DType A = check_rope("rope_backward: dx", "rope_backward: tables", dx, cosine, sine, first_position);
  const auto elements = static_cast<double>(dx.elements());
  const TraceScope trace(context.trace(), "rope_backward", 3 * elements, 2 * elements * element_bytes(A));
  with_backend(context,
               [&](auto backend) { Rope<backend()>::backward(context, dx, cosine, sine, first_position); });
}

}  // namespace switchyard::kernels
