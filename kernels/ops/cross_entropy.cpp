#include "kernels/ops/cross_entropy.h"

namespace switchyard::kernels {

namespace {

// A wrong target would read beyond the row.
void check_targets(const char* what, ConstTensorView targets, std::int64_t V) {
  if (targets.device() != Device::cpu) return;
  const auto* ids = targets.data<std::int32_t>();
  for (std::int64_t n = 0; n < targets.elements(); ++n)
    SWITCHYARD_CHECK(ids[n] >= -1 && ids[n] < V, "{}: targets must be -1 or in [0, {}); got {} at {}", what,
                     V, ids[n], n);
}

}  // namespace

void cross_entropy_forward(Context& context, TensorView loss, TensorView lse, ConstTensorView logits,
                           ConstTensorView targets) {
  const std::int64_t N = logits.dim(0);
  const std::int64_t V = logits.dim(1);
  check_tensor("cross_entropy_forward: logits", logits, DType::f32, {N, V});
  check_tensor("cross_entropy_forward: targets", targets, DType::i32, {N});
  check_tensor("cross_entropy_forward: loss", loss, DType::f32, {N});
  check_tensor("cross_entropy_forward: lse", lse, DType::f32, {N});
  check_targets("cross_entropy_forward", targets, V);
  const auto elements = static_cast<double>(N * V);
  const TraceScope trace(context.trace(), "cross_entropy_forward", 4 * elements, 4 * elements);
  with_backend(context,
               [&](auto backend) { CrossEntropy<backend()>::forward(context, loss, lse, logits, targets); });
}

void cross_entropy_backward(Context& context, TensorView dlogits, ConstTensorView logits,
                            ConstTensorView targets, ConstTensorView lse, float scale) {
  const std::int64_t N = logits.dim(0);
  const std::int64_t V = logits.dim(1);
  check_tensor("cross_entropy_backward: logits", logits, DType::f32, {N, V});
  const DType D = check_activation("cross_entropy_backward: dlogits", dlogits, {N, V});
  SWITCHYARD_CHECK(D == DType::f32 || dlogits.raw() != logits.raw() || N * V == 0,
                   "cross_entropy_backward: dlogits in bf16 need memory of their own");
  check_tensor("cross_entropy_backward: targets", targets, DType::i32, {N});
  check_tensor("cross_entropy_backward: lse", lse, DType::f32, {N});
  check_targets("cross_entropy_backward", targets, V);
  const auto elements = static_cast<double>(N * V);
  const TraceScope trace(context.trace(), "cross_entropy_backward", 4 * elements,
                         elements * (4 + element_bytes(D)));
  with_backend(context, [&](auto backend) {
    CrossEntropy<backend()>::backward(context, dlogits, logits, targets, lse, scale);
  });
}

}  // namespace switchyard::kernels
