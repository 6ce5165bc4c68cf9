#include "kernels/ops/rms_norm.h"

namespace switchyard::kernels {

void rms_norm_forward(Context& context, TensorView y, TensorView rstd, ConstTensorView x,
                      ConstTensorView weight, float epsilon) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const DType A = check_activation("rms_norm_forward: x", x, {N, C});
  check_tensor("rms_norm_forward: y", y, A, {N, C});
  check_tensor("rms_norm_forward: rstd", rstd, DType::f32, {N});
  check_tensor("rms_norm_forward: weight", weight, DType::f32, {C});
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "rms_norm_forward", 4 * elements, 2 * elements * element_bytes(A));
  with_backend(context,
               [&](auto backend) { RmsNorm<backend()>::forward(context, y, rstd, x, weight, epsilon); });
}

void rms_norm_backward(Context& context, TensorView dx, const GradientSum& dweight, ConstTensorView dy,
                       ConstTensorView x, ConstTensorView weight, ConstTensorView rstd,
                       ConstTensorView dresidual) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const DType A = check_activation("rms_norm_backward: x", x, {N, C});
  check_tensor("rms_norm_backward: dx", dx, A, {N, C});
  check_tensor("rms_norm_backward: dy", dy, A, {N, C});
  check_tensor("rms_norm_backward: weight", weight, DType::f32, {C});
  check_tensor("rms_norm_backward: rstd", rstd, DType::f32, {N});
  check_tensor("rms_norm_backward: dweight", dweight.sums, DType::i64, {C});
  if (dresidual.present()) check_tensor("rms_norm_backward: dresidual", dresidual, A, {N, C});
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "rms_norm_backward", 10 * elements,
                         4 * elements * element_bytes(A));
  with_backend(context, [&](auto backend) {
    RmsNorm<backend()>::backward(context, dx, dweight, dy, x, weight, rstd, dresidual);
  });
}

}  // namespace switchyard::kernels
