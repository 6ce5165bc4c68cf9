#include "kernels/ops/attention.h"

#include <algorithm>

namespace switchyard::kernels {

namespace {

struct Extents {
  std::int64_t B, T, S, H, G, D;
  DType A;

  // Pairs of a query and a key that it sees, over all heads.
  double pairs(std::int64_t window) const {
    // Queries whose window does not reach back to key 0 see `window` keys, the others all up to their own.
    const std::int64_t cut = window == 0 ? 0 : std::clamp<std::int64_t>(S - window, 0, T);
    const auto queries = static_cast<double>(T - cut);
    return static_cast<double>(B * H) * (queries * static_cast<double>(S - T) + queries * (queries + 1) / 2 +
                                         static_cast<double>(cut) * static_cast<double>(window));
  }
  // Least traffic of one pass over queries (`wide` tensors of their size) and keys (`narrow`).
  double bytes(int wide, int narrow) const {
    return element_bytes(A) * static_cast<double>(B * D) * static_cast<double>(wide * T * H + narrow * S * G);
  }
};

Extents check_inputs(const char* what, ConstTensorView q, ConstTensorView k, ConstTensorView v,
                     std::int64_t window) {
  SWITCHYARD_CHECK(q.shape().ndim() == 4 && k.shape().ndim() == 4, "{}: q and k have 4 dims; got {} and {}",
                   what, q.shape().text(), k.shape().text());
  const Extents e{q.dim(0), q.dim(1), k.dim(1), q.dim(2), k.dim(2), q.dim(3), q.dtype()};
  check_activation(what, q, {e.B, e.T, e.H, e.D});
  check_tensor(what, k, e.A, {e.B, e.S, e.G, e.D});
  check_tensor(what, v, e.A, {e.B, e.S, e.G, e.D});
  SWITCHYARD_CHECK(e.S >= e.T, "{}: there are at least as many keys as queries; got S = {} < T = {}", what,
                   e.S, e.T);
  SWITCHYARD_CHECK(e.D > 0 && e.G > 0 && e.H % e.G == 0,
                   "{}: key heads divide query heads, of one width; got H = {}, G = {}, D = {}", what, e.H,
                   e.G, e.D);
  SWITCHYARD_CHECK(window >= 0, "{}: the window is 0 (no limit) or at least 1; got {}", what, window);
  return e;
}

}  // namespace

void attention_forward(Context& context, TensorView y, TensorView lse, ConstTensorView q, ConstTensorView k,
                       ConstTensorView v, float scale, std::int64_t window) {
  const Extents e = check_inputs("attention_forward: q, k, v", q, k, v, window);
  check_tensor("attention_forward: y", y, e.A, {e.B, e.T, e.H, e.D});
  check_tensor("attention_forward: lse", lse, DType::f32, {e.B, e.H, e.T});
  const TraceScope trace(context.trace(), "attention_forward", 4 * static_cast<double>(e.D) * e.pairs(window),
                         e.bytes(2, 2));
  with_backend(context,
               [&](auto backend) { Attention<backend()>::forward(context, y, lse, q, k, v, scale, window); });
}

void attention_backward(Context& context, TensorView dq, TensorView dk, TensorView dv, ConstTensorView dy,
                        ConstTensorView q, ConstTensorView k, ConstTensorView v, ConstTensorView y,
                        ConstTensorView lse, float scale, std::int64_t window) {
  const Extents e = check_inputs("attention_backward: q, k, v", q, k, v, window);
  SWITCHYARD_CHECK(e.S == e.T, "attention_backward: as many keys as queries; got S = {}, T = {}", e.S, e.T);
  check_tensor("attention_backward: dq", dq, e.A, {e.B, e.T, e.H, e.D});
  check_tensor("attention_backward: dk", dk, e.A, {e.B, e.T, e.G, e.D});
  check_tensor("attention_backward: dv", dv, e.A, {e.B, e.T, e.G, e.D});
  check_tensor("attention_backward: dy", dy, e.A, {e.B, e.T, e.H, e.D});
  check_tensor("attention_backward: y", y, e.A, {e.B, e.T, e.H, e.D});
  check_tensor("attention_backward: lse", lse, DType::f32, {e.B, e.H, e.T});
  const TraceScope trace(context.trace(), "attention_backward",
                         10 * static_cast<double>(e.D) * e.pairs(window), e.bytes(4, 4));
  with_backend(context, [&](auto backend) {
    Attention<backend()>::backward(context, dq, dk, dv, dy, q, k, v, y, lse, scale, window);
  });
}

}  // namespace switchyard::kernels
