#include "kernels/ops/swiglu.h"

namespace switchyard::kernels {

void swiglu_forward(Context& context, TensorView h, ConstTensorView gate_up) {
  const std::int64_t M = h.dim(0);
  const std::int64_t F = h.dim(1);
  const DType A = check_activation("swiglu_forward: gate_up", gate_up, {M, 2 * F});
  check_tensor("swiglu_forward: h", h, A, {M, F});
  const auto elements = static_cast<double>(M * F);
  const TraceScope trace(context.trace(), "swiglu_forward", 5 * elements, 3 * elements * element_bytes(A));
  with_backend(context, [&](auto backend) { Swiglu<backend()>::forward(context, h, gate_up); });
}

void swiglu_backward(Context& context, TensorView dgate_up, ConstTensorView dh, ConstTensorView gate_up) {
  const std::int64_t M = dh.dim(0);
  const std::int64_t F = dh.dim(1);
  const DType A = check_activation("swiglu_backward: gate_up", gate_up, {M, 2 * F});
  check_tensor("swiglu_backward: dh", dh, A, {M, F});
  check_tensor("swiglu_backward: dgate_up", dgate_up, A, {M, 2 * F});
  const auto elements = static_cast<double>(M * F);
  const TraceScope trace(context.trace(), "swiglu_backward", 11 * elements, 5 * elements * element_bytes(A));
  with_backend(context, [&](auto backend) { Swiglu<backend()>::backward(context, dgate_up, dh, gate_up); });
}

}  // namespace switchyard::kernels
