#include "kernels/ops/linear.h"

namespace switchyard::kernels {

namespace {
// Least traffic: each operand once.
double product_bytes(std::int64_t N, std::int64_t O, std::int64_t I) {
  return 4.0 * static_cast<double>(N * I + N * O + O * I);
}
double product_flops(std::int64_t N, std::int64_t O, std::int64_t I) {
  return 2.0 * static_cast<double>(N) * static_cast<double>(O) * static_cast<double>(I);
}
}  // namespace

void linear_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                    ConstTensorView bias) {
  const std::int64_t N = x.dim(0);
  const std::int64_t I = x.dim(1);
  const std::int64_t O = weight.dim(0);
  check_tensor("linear_forward: x", x, DType::f32, {N, I});
  check_tensor("linear_forward: y", y, DType::f32, {N, O});
  check_tensor("linear_forward: weight", weight, DType::f32, {O, I});
  if (bias.present()) check_tensor("linear_forward: bias", bias, DType::f32, {O});
  const TraceScope trace(context.trace(), "linear_forward", product_flops(N, O, I), product_bytes(N, O, I));
  with_backend(context, [&](auto backend) { Linear<backend()>::forward(context, y, x, weight, bias); });
}

void linear_backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                          Write write) {
  const std::int64_t N = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  const std::int64_t I = weight.dim(1);
  check_tensor("linear_backward_data: dy", dy, DType::f32, {N, O});
  check_tensor("linear_backward_data: dx", dx, DType::f32, {N, I});
  check_tensor("linear_backward_data: weight", weight, DType::f32, {O, I});
  const TraceScope trace(context.trace(), "linear_backward_data", product_flops(N, O, I),
                         product_bytes(N, O, I));
  with_backend(context,
               [&](auto backend) { Linear<backend()>::backward_data(context, dx, dy, weight, write); });
}

void linear_backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                            ConstTensorView x) {
  const std::int64_t N = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  const std::int64_t I = x.dim(1);
  check_tensor("linear_backward_weight: dy", dy, DType::f32, {N, O});
  check_tensor("linear_backward_weight: x", x, DType::f32, {N, I});
  check_tensor("linear_backward_weight: dweight", dweight.sums, DType::i64, {O, I});
  const TraceScope trace(context.trace(), "linear_backward_weight", product_flops(N, O, I),
                         product_bytes(N, O, I));
  with_backend(context, [&](auto backend) { Linear<backend()>::backward_weight(context, dweight, dy, x); });
}

void linear_backward_bias(Context& context, const GradientSum& dbias, ConstTensorView dy) {
  const std::int64_t N = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  check_tensor("linear_backward_bias: dy", dy, DType::f32, {N, O});
  check_tensor("linear_backward_bias: dbias", dbias.sums, DType::i64, {O});
  const auto elements = static_cast<double>(N * O);
  const TraceScope trace(context.trace(), "linear_backward_bias", elements, 4 * elements);
  with_backend(context, [&](auto backend) { Linear<backend()>::backward_bias(context, dbias, dy); });
}

}  // namespace switchyard::kernels
