#include "kernels/ops/elementwise.h"

namespace switchyard::kernels {

void add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b) {
  const std::int64_t N = y.dim(0);
  const std::int64_t C = y.dim(1);
  check_tensor("add: y", y, DType::f32, {N, C});
  check_tensor("add: a", a, DType::f32, {N, C});
  check_tensor("add: b", b, DType::f32, {N, C});
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "add", elements, 12 * elements);
  with_backend(context, [&](auto backend) { Elementwise<backend()>::add(context, y, a, b); });
}

void row_gate_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView gate) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  check_tensor("row_gate_forward: x", x, DType::f32, {N, C});
  check_tensor("row_gate_forward: y", y, DType::f32, {N, C});
  check_tensor("row_gate_forward: gate", gate, DType::f32, {N, 1});
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "row_gate_forward", elements, 8 * elements);
  with_backend(context, [&](auto backend) { Elementwise<backend()>::row_gate_forward(context, y, x, gate); });
}

void row_gate_backward(Context& context, TensorView dx, TensorView dgate, ConstTensorView dy,
                       ConstTensorView x, ConstTensorView gate) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  check_tensor("row_gate_backward: x", x, DType::f32, {N, C});
  check_tensor("row_gate_backward: dx", dx, DType::f32, {N, C});
  check_tensor("row_gate_backward: dy", dy, DType::f32, {N, C});
  check_tensor("row_gate_backward: gate", gate, DType::f32, {N, 1});
  check_tensor("row_gate_backward: dgate", dgate, DType::f32, {N, 1});
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "row_gate_backward", 3 * elements, 12 * elements);
  with_backend(context, [&](auto backend) {
    Elementwise<backend()>::row_gate_backward(context, dx, dgate, dy, x, gate);
  });
}

void clip_forward(Context& context, TensorView y, ConstTensorView x, float limit) {
  const Shape shape = {x.dim(0), x.dim(1)};
  check_tensor("clip_forward: x", x, DType::f32, shape);
  check_tensor("clip_forward: y", y, DType::f32, shape);
  SWITCHYARD_CHECK(limit > 0, "clip_forward: the limit must be above 0; got {}", limit);
  const auto elements = static_cast<double>(x.elements());
  const TraceScope trace(context.trace(), "clip_forward", elements, 8 * elements);
  with_backend(context, [&](auto backend) { Elementwise<backend()>::clip_forward(context, y, x, limit); });
}

void clip_backward(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView x, float limit) {
  const Shape shape = {x.dim(0), x.dim(1)};
  check_tensor("clip_backward: x", x, DType::f32, shape);
  check_tensor("clip_backward: dy", dy, DType::f32, shape);
  check_tensor("clip_backward: dx", dx, DType::f32, shape);
  SWITCHYARD_CHECK(limit > 0, "clip_backward: the limit must be above 0; got {}", limit);
  const auto elements = static_cast<double>(x.elements());
  const TraceScope trace(context.trace(), "clip_backward", elements, 12 * elements);
  with_backend(context,
               [&](auto backend) { Elementwise<backend()>::clip_backward(context, dx, dy, x, limit); });
}

}  // namespace switchyard::kernels
