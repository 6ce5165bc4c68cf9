#include "kernels/ops/router.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/routing/router.h"
#include "kernels/cuda/routing/router_counts.h"
#include "kernels/cuda/routing/sort_slots.h"
#include "kernels/runtime/transfer.h"

namespace switchyard::kernels {

namespace {
cuda::RouterShape shape_of(ConstTensorView logits, ConstTensorView expert, const RouterOptions& options) {
  return {logits.dim(0),
          logits.dim(1),
          expert.dim(1),
          options.sigmoid,
          options.softmax_after_top_k,
          options.renormalize,
          options.scaling_factor,
          options.groups,
          options.group_top_k,
          options.z_coefficient};
}
}  // namespace

template <>
void Router<Backend::cuda>::forward(Context& context, TensorView expert, TensorView weight,
                                    TensorView probability, TensorView lse, ConstTensorView logits,
                                    ConstTensorView bias, const RouterOptions& options) {
  cuda::router_forward(cuda::stream_of(context), shape_of(logits, expert, options),
                       expert.data<std::int32_t>(), weight.data<float>(), probability.data<float>(),
                       lse.data<float>(), logits.data<float>(), cuda::plain_or_null<float>(bias));
}

template <>
void Router<Backend::cuda>::backward(Context& context, TensorView dlogits, ConstTensorView dweight,
                                     ConstTensorView dprobability, ConstTensorView expert, ConstTensorView,
                                     ConstTensorView probability, ConstTensorView lse, ConstTensorView logits,
                                     const RouterOptions& options) {
  const std::int64_t run =
      dprobability.present() && logits.dim(0) > 0 ? logits.dim(0) / dprobability.dim(0) : 1;
  cuda::router_backward(cuda::stream_of(context), shape_of(logits, expert, options), dlogits.data<float>(),
                        {dweight.data<float>(), cuda::plain_or_null<float>(dprobability), run},
                        expert.data<std::int32_t>(), probability.data<float>(), lse.data<float>(),
                        logits.data<float>());
}

template <>
void Router<Backend::cuda>::statistics(Context& context, TensorView probability_sum, TensorView top_count,
                                       TensorView load, TensorView row_sums, ConstTensorView probability,
                                       ConstTensorView lse, ConstTensorView expert) {
  const std::int64_t N = probability.dim(0);
  ArenaScope scope(context.scratch());
  const TensorView entropies = scope.tensor(DType::f64, {N});
  context.queue()->fill(top_count.raw(), 0, top_count.bytes());
  context.queue()->fill(load.raw(), 0, load.bytes());
  cuda::router_statistics(cuda::stream_of(context),
                          {probability_sum.data<double>(), top_count.data<std::int64_t>(),
                           load.data<std::int64_t>(), row_sums.data<double>()},
                          entropies.data<double>(), probability.data<float>(), lse.data<float>(),
                          expert.data<std::int32_t>(), N, probability.dim(1), expert.dim(1),
                          probability_sum.dim(0));
}

template <>
void Router<Backend::cuda>::drop(Context& context, TensorView expert, ConstTensorView weight,
                                 std::int64_t experts, std::int64_t capacity, bool by_probability) {
  const std::int64_t slots = expert.elements();
  ArenaScope scope(context.scratch());
  const TensorView count = scope.tensor(DType::i32, {experts});
  const TensorView slot_of_row = scope.tensor(DType::i32, {slots});
  const TensorView scratch = scope.tensor(DType::i32, {cuda::sort_scratch(slots, experts)});
  cuda::sort_slots(cuda::stream_of(context),
                   {count.data<std::int32_t>(), nullptr, slot_of_row.data<std::int32_t>()},
                   expert.data<std::int32_t>(), slots, experts, scratch.data<std::int32_t>());
  cuda::router_drop(cuda::stream_of(context), expert.data<std::int32_t>(), weight.data<float>(),
                    count.data<std::int32_t>(), slot_of_row.data<std::int32_t>(), experts, capacity,
                    by_probability);
}

}  // namespace switchyard::kernels
