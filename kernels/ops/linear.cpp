#include "kernels/ops/linear.h"

namespace switchyard::kernels {

namespace {
// Least traffic of two operands of A and a result, each once.
double product_bytes(DType A, std::int64_t operands, double result_bytes) {
  return static_cast<double>(operands) * element_bytes(A) + result_bytes;
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
  const DType A = check_activation("linear_forward: x", x, {N, I});
  check_tensor("linear_forward: y", y, y.dtype() == DType::f32 ? DType::f32 : A, {N, O});
  check_tensor("linear_forward: weight", weight, A, {O, I});
  if (bias.present()) check_tensor("linear_forward: bias", bias, DType::f32, {O});
  const TraceScope trace(context.trace(), "linear_forward", product_flops(N, O, I),
                         product_bytes(A, N * I + O * I, static_cast<double>(y.bytes())));
  with_backend(context, [&](auto backend) { Linear<backend()>::forward(context, y, x, weight, bias); });
}

void linear_backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                          Write write) {
  const std::int64_t N = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  const std::int64_t I = weight.dim(1);
  const DType A = check_activation("linear_backward_data: dy", dy, {N, O});
  check_tensor("linear_backward_data: dx", dx, A, {N, I});
  check_tensor("linear_backward_data: weight", weight, A, {O, I});
  const TraceScope trace(context.trace(), "linear_backward_data", product_flops(N, O, I),
                         product_bytes(A, N * O + O * I, static_cast<double>(dx.bytes())));
  with_backend(context,
               [&](auto backend) { Linear<backend()>::backward_data(context, dx, dy, weight, write); });
}

void linear_backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                            ConstTensorView x) {
  const std::int64_t N = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  const std::int64_t I = x.dim(1);
  const DType A = check_activation("linear_backward_weight: dy", dy, {N, O});
  check_tensor("linear_backward_weight: x", x, A, {N, I});
  check_tensor("linear_backward_weight: dweight", dweight.sums, DType::i64, {O, I});
  const TraceScope trace(context.trace(), "linear_backward_weight", product_flops(N, O, I),
                         product_bytes(A, N * O + N * I, 2 * static_cast<double>(dweight.sums.bytes())));
  with_backend(context, [&](auto backend) { Linear<backend()>::backward_weight(context, dweight, dy, x); });
}

void linear_backward_bias(Context& context, const GradientSum& dbias, ConstTensorView dy) {
  const std::int64_t N = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  const DType A = check_activation("linear_backward_bias: dy", dy, {N, O});
  check_tensor("linear_backward_bias: dbias", dbias.sums, DType::i64, {O});
  const auto elements = static_cast<double>(N * O);
  const TraceScope trace(context.trace(), "linear_backward_bias", elements, elements * element_bytes(A));
  with_backend(context, [&](auto backend) { Linear<backend()>::backward_bias(context, dbias, dy); });
}

}  // namespace switchyard::kernels
