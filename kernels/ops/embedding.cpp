#include "kernels/ops/embedding.h"

namespace switchyard::kernels {

namespace {

// A wrong id would read or write beyond the table, so it is looked at here although the data layer has.
void check_ids(const char* what, ConstTensorView tokens, std::int64_t V) {
  if (tokens.device() != Device::cpu) return;
  const auto* ids = tokens.data<std::int32_t>();
  for (std::int64_t n = 0; n < tokens.elements(); ++n)
    SWITCHYARD_CHECK(ids[n] >= 0 && ids[n] < V, "{}: token ids must be in [0, {}); got {} at {}", what, V,
                     ids[n], n);
}

}  // namespace

void embedding_forward(Context& context, TensorView x, ConstTensorView tokens, ConstTensorView weight) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const DType A = check_activation("embedding_forward: x", x, {N, C});
  check_tensor("embedding_forward: tokens", tokens, DType::i32, {N});
  check_tensor("embedding_forward: weight", weight, A, {weight.dim(0), C});
  check_ids("embedding_forward", tokens, weight.dim(0));
  const TraceScope trace(context.trace(), "embedding_forward", 0,
                         2 * static_cast<double>(N * C) * element_bytes(A));
  with_backend(context, [&](auto backend) { Embedding<backend()>::forward(context, x, tokens, weight); });
}

void embedding_backward(Context& context, const GradientSum& dweight, ConstTensorView dx,
                        ConstTensorView tokens) {
  const std::int64_t N = dx.dim(0);
  const std::int64_t C = dx.dim(1);
  const DType A = check_activation("embedding_backward: dx", dx, {N, C});
  check_tensor("embedding_backward: tokens", tokens, DType::i32, {N});
  check_tensor("embedding_backward: dweight", dweight.sums, DType::i64, {dweight.sums.dim(0), C});
  check_ids("embedding_backward", tokens, dweight.sums.dim(0));
  const auto elements = static_cast<double>(N * C);
  const TraceScope trace(context.trace(), "embedding_backward", elements, elements * (16 + element_bytes(A)));
  with_backend(context, [&](auto backend) { Embedding<backend()>::backward(context, dweight, dx, tokens); });
}

}  // namespace switchyard::kernels
