#include "kernels/ops/elementwise.h"

namespace switchyard::kernels {

void add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b) {
  const std::int64_t N = y.dim(0);
  const std::int64_t C = y.dim(1);
  const double bytes = element_bytes(check_activation("add: y", y, {N, C})) +
                       element_bytes(check_activation("add: a", a, {N, C})) +
                       element_bytes(check_activation("add: b", b, {N, C}));
  for (const ConstTensorView operand : {a, b})
    SWITCHYARD_CHECK(y.raw() != operand.raw() || y.dtype() == operand.dtype() || y.elements() == 0,
                     "add: y in the memory of an operand has its dtype; got {} and {}", dtype_name(y.dtype()),
                     dtype_name(operand.dtype()));
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "add", elements, elements * bytes);
  with_backend(context, [&](auto backend) { Elementwise<backend()>::add(context, y, a, b); });
}

void convert(Context& context, TensorView y, ConstTensorView x) {
  const double bytes = element_bytes(check_activation("convert: y", y, y.shape())) +
                       element_bytes(check_activation("convert: x", x, y.shape()));
  const TraceScope trace(context.trace(), "convert", 0, static_cast<double>(x.elements()) * bytes);
  with_backend(context, [&](auto backend) { Elementwise<backend()>::convert(context, y, x); });
}

void row_gate_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView gate) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const DType A = check_activation("row_gate_forward: x", x, {N, C});
  check_tensor("row_gate_forward: y", y, A, {N, C});
  check_tensor("row_gate_forward: gate", gate, DType::f32, {N, 1});
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "row_gate_forward", elements, 2 * elements * element_bytes(A));
  with_backend(context, [&](auto backend) { Elementwise<backend()>::row_gate_forward(context, y, x, gate); });
}

void row_gate_backward(Context& context, TensorView dx, TensorView dgate, ConstTensorView dy,
                       ConstTensorView x, ConstTensorView gate) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const DType A = check_activation("row_gate_backward: x", x, {N, C});
  check_tensor("row_gate_backward: dx", dx, A, {N, C});
  check_tensor("row_gate_backward: dy", dy, A, {N, C});
  check_tensor("row_gate_backward: gate", gate, DType::f32, {N, 1});
  check_tensor("row_gate_backward: dgate", dgate, DType::f32, {N, 1});
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "row_gate_backward", 3 * elements, 3 * elements * element_bytes(A));
  with_backend(context, [&](auto backend) {
    Elementwise<backend()>::row_gate_backward(context, dx, dgate, dy, x, gate);
  });
}

void clip_forward(Context& context, TensorView y, ConstTensorView x, float limit) {
  const Shape shape = {x.dim(0), x.dim(1)};
  const DType A = check_activation("clip_forward: x", x, shape);
  check_tensor("clip_forward: y", y, A, shape);
  SWITCHYARD_CHECK(limit > 0, "clip_forward: the limit must be above 0; got {}", limit);
  const auto elements = static_cast<double>(x.elements());
  const TraceScope trace(context.trace(), "clip_forward", elements, 2 * elements * element_bytes(A));
  with_backend(context, [&](auto backend) { Elementwise<backend()>::clip_forward(context, y, x, limit); });
}

void clip_backward(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView x, float limit) {
  const Shape shape = {x.dim(0), x.dim(1)};
  const DType A = check_activation("clip_backward: x", x, shape);
  check_tensor("clip_backward: dy", dy, A, shape);
  check_tensor("clip_backward: dx", dx, A, shape);
  SWITCHYARD_CHECK(limit > 0, "clip_backward: the limit must be above 0; got {}", limit);
  const auto elements = static_cast<double>(x.elements());
  const TraceScope trace(context.trace(), "clip_backward", elements, 3 * elements * element_bytes(A));
  with_backend(context,
               [&](auto backend) { Elementwise<backend()>::clip_backward(context, dx, dy, x, limit); });
}

}  // namespace switchyard::kernels
