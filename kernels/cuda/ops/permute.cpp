#include "kernels/ops/permute.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/routing/permute.h"
#include "kernels/cuda/routing/sort_slots.h"

namespace switchyard::kernels {

namespace {
cuda::PermuteShape shape_of(ConstTensorView tokens, ConstTensorView row_of_slot) {
  return {tokens.dim(0), row_of_slot.dim(1), tokens.dim(1), tokens.dtype()};
}
}  // namespace

template <>
void Permute<Backend::cuda>::sort_slots(Context& context, TensorView count, TensorView row_of_slot,
                                        TensorView slot_of_row, ConstTensorView expert) {
  const std::int64_t slots = expert.elements();
  const std::int64_t E = count.dim(0);
  ArenaScope scope(context.scratch());
  const TensorView scratch = scope.tensor(DType::i32, {cuda::sort_scratch(slots, E)});
  cuda::sort_slots(
      cuda::stream_of(context),
      {count.data<std::int32_t>(), row_of_slot.data<std::int32_t>(), slot_of_row.data<std::int32_t>()},
      expert.data<std::int32_t>(), slots, E, scratch.data<std::int32_t>());
}

template <>
void Permute<Backend::cuda>::gather_forward(Context& context, TensorView rows, ConstTensorView x,
                                            ConstTensorView slot_of_row, std::int64_t K) {
  cuda::gather_rows_forward(cuda::stream_of(context), {x.dim(0), K, x.dim(1), x.dtype()}, rows.dim(0),
                            rows.raw(), x.raw(), slot_of_row.data<std::int32_t>());
}

template <>
void Permute<Backend::cuda>::gather_backward(Context& context, TensorView dx, ConstTensorView drows,
                                             ConstTensorView row_of_slot) {
  cuda::combine_rows_forward(cuda::stream_of(context), shape_of(dx, row_of_slot), dx.raw(), drows.raw(),
                             nullptr, row_of_slot.data<std::int32_t>(), nullptr);
}

template <>
void Permute<Backend::cuda>::combine_forward(Context& context, TensorView y, ConstTensorView rows,
                                             ConstTensorView weight, ConstTensorView row_of_slot,
                                             ConstTensorView base) {
  cuda::combine_rows_forward(cuda::stream_of(context), shape_of(y, row_of_slot), y.raw(), rows.raw(),
                             weight.data<float>(), row_of_slot.data<std::int32_t>(), base.raw());
}

template <>
void Permute<Backend::cuda>::combine_backward(Context& context, TensorView drows, TensorView dweight,
                                              ConstTensorView dy, ConstTensorView rows,
                                              ConstTensorView weight, ConstTensorView row_of_slot) {
  cuda::combine_rows_backward(cuda::stream_of(context), shape_of(dy, row_of_slot), drows.raw(),
                              dweight.data<float>(), dy.raw(), rows.raw(), weight.data<float>(),
                              row_of_slot.data<std::int32_t>());
}

}  // namespace switchyard::kernels
