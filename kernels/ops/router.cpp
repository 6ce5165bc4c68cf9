#include "kernels/ops/router.h"

namespace switchyard::kernels {

namespace {

void check_choice(const char* what, std::int64_t E, std::int64_t K, const RouterOptions& options) {
  SWITCHYARD_CHECK(K >= 1 && K <= E, "{}: K must be in [1, {} experts]; got {}", what, E, K);
  SWITCHYARD_CHECK(options.groups >= 1 && E % options.groups == 0,
                   "{}: groups must divide the {} experts; got {}", what, E, options.groups);
  SWITCHYARD_CHECK(options.group_top_k >= 1 && options.group_top_k <= options.groups &&
                       options.group_top_k * (E / options.groups) >= K,
                   "{}: group_top_k must be in [1, {} groups] and leave at least K = {} experts; got {}",
                   what, options.groups, K, options.group_top_k);
  SWITCHYARD_CHECK(!(options.sigmoid && options.softmax_after_top_k),
                   "{}: scores are either sigmoid or softmax after the top-k; got both", what);
}

void check_experts(const char* what, ConstTensorView expert, std::int64_t low, std::int64_t E) {
  if (expert.device() != Device::cpu) return;
  const auto* ids = expert.data<std::int32_t>();
  for (std::int64_t i = 0; i < expert.elements(); ++i)
    SWITCHYARD_CHECK(ids[i] >= low && ids[i] < E, "{}: experts must be in [{}, {}); got {} at {}", what, low,
                     E, ids[i], i);
}

}  // namespace

void router_forward(Context& context, TensorView expert, TensorView weight, TensorView probability,
                    TensorView lse, ConstTensorView logits, ConstTensorView bias,
                    const RouterOptions& options) {
  const std::int64_t N = logits.dim(0);
  const std::int64_t E = logits.dim(1);
  const std::int64_t K = expert.dim(1);
  check_tensor("router_forward: logits", logits, DType::f32, {N, E});
  check_tensor("router_forward: expert", expert, DType::i32, {N, K});
  check_tensor("router_forward: weight", weight, DType::f32, {N, K});
  check_tensor("router_forward: probability", probability, DType::f32, {N, E});
  check_tensor("router_forward: lse", lse, DType::f32, {N});
  if (bias.present()) check_tensor("router_forward: bias", bias, DType::f32, {E});
  check_choice("router_forward", E, K, options);
  const auto elements = static_cast<double>(N * E);
  const TraceScope trace(context.trace(), "router_forward", 8 * elements, 8 * elements);
  with_backend(context, [&](auto backend) {
    Router<backend()>::forward(context, expert, weight, probability, lse, logits, bias, options);
  });
}

void router_backward(Context& context, TensorView dlogits, ConstTensorView dweight,
                     ConstTensorView dprobability, ConstTensorView expert, ConstTensorView weight,
                     ConstTensorView probability, ConstTensorView lse, ConstTensorView logits,
                     const RouterOptions& options) {
  const std::int64_t N = logits.dim(0);
  const std::int64_t E = logits.dim(1);
  const std::int64_t K = expert.dim(1);
  check_tensor("router_backward: logits", logits, DType::f32, {N, E});
  check_tensor("router_backward: dlogits", dlogits, DType::f32, {N, E});
  check_tensor("router_backward: dweight", dweight, DType::f32, {N, K});
  check_tensor("router_backward: expert", expert, DType::i32, {N, K});
  check_tensor("router_backward: weight", weight, DType::f32, {N, K});
  check_tensor("router_backward: probability", probability, DType::f32, {N, E});
  check_tensor("router_backward: lse", lse, DType::f32, {N});
  if (dprobability.present()) {
    const std::int64_t S = dprobability.dim(0);
    check_tensor("router_backward: dprobability", dprobability, DType::f32, {S, E});
    SWITCHYARD_CHECK(S >= 1 && N % S == 0,
                     "router_backward: the runs of dprobability must divide the {} rows; got {}", N, S);
  }
  check_choice("router_backward", E, K, options);
  check_experts("router_backward (which needs the choice before router_drop)", expert, 0, E);
  const auto elements = static_cast<double>(N * E);
  const TraceScope trace(context.trace(), "router_backward", 8 * elements, 12 * elements);
  with_backend(context, [&](auto backend) {
    Router<backend()>::backward(context, dlogits, dweight, dprobability, expert, weight, probability, lse,
                                logits, options);
  });
}

void router_statistics(Context& context, TensorView probability_sum, TensorView top_count, TensorView load,
                       TensorView row_sums, ConstTensorView probability, ConstTensorView lse,
                       ConstTensorView expert) {
  const std::int64_t N = probability.dim(0);
  const std::int64_t E = probability.dim(1);
  const std::int64_t K = expert.dim(1);
  const std::int64_t S = probability_sum.dim(0);
  check_tensor("router_statistics: probability", probability, DType::f32, {N, E});
  check_tensor("router_statistics: lse", lse, DType::f32, {N});
  check_tensor("router_statistics: expert", expert, DType::i32, {N, K});
  check_tensor("router_statistics: probability_sum", probability_sum, DType::f64, {S, E});
  check_tensor("router_statistics: top_count", top_count, DType::i64, {S, E});
  check_tensor("router_statistics: load", load, DType::i64, {E});
  check_tensor("router_statistics: row_sums", row_sums, DType::f64, {2});
  SWITCHYARD_CHECK(S >= 1 && N % S == 0, "router_statistics: the runs must divide the {} rows; got {}", N, S);
  SWITCHYARD_CHECK(K >= 1 && K <= E, "router_statistics: K must be in [1, {} experts]; got {}", E, K);
  check_experts("router_statistics", expert, -1, E);
  const auto elements = static_cast<double>(N * E);
  const TraceScope trace(context.trace(), "router_statistics", 4 * elements, 4 * elements);
  with_backend(context, [&](auto backend) {
    Router<backend()>::statistics(context, probability_sum, top_count, load, row_sums, probability, lse,
                                  expert);
  });
}

void router_drop(Context& context, TensorView expert, ConstTensorView weight, std::int64_t experts,
                 std::int64_t capacity, bool by_probability) {
  const std::int64_t N = expert.dim(0);
  const std::int64_t K = expert.dim(1);
  check_tensor("router_drop: expert", expert, DType::i32, {N, K});
  check_tensor("router_drop: weight", weight, DType::f32, {N, K});
  SWITCHYARD_CHECK(experts >= 1 && capacity >= 0,
                   "router_drop: needs at least 1 expert and a capacity of at least 0; got {} and {}",
                   experts, capacity);
  check_experts("router_drop", expert, -1, experts);
  const TraceScope trace(context.trace(), "router_drop", 0, 8 * static_cast<double>(N * K));
  with_backend(context, [&](auto backend) {
    Router<backend()>::drop(context, expert, weight, experts, capacity, by_probability);
  });
}

}  // namespace switchyard::kernels
