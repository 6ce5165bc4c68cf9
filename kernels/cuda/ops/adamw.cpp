#include "kernels/ops/adamw.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/optimizer/adamw.h"
#include "kernels/runtime/transfer.h"

namespace switchyard::kernels {

// The total goes to the host, which has to tell the other ranks: the one wait of an optimizer step per group.
template <>
bool Adamw<Backend::cuda>::sum_of_squares(Context& context, WideSum& total, ConstTensorView sums,
                                          double scale) {
  static_assert(sizeof(cuda::SquareWords) == 4 * sizeof(std::uint64_t));
  ArenaScope scope(context.scratch());
  const TensorView words = scope.tensor(DType::u64, {4});
  clear(context, words);
  cuda::add_squares(cuda::stream_of(context), static_cast<cuda::SquareWords*>(words.raw()),
                    sums.data<std::int64_t>(), sums.elements(), kGridUnit * scale);
  cuda::SquareWords found{};
  copy(context, {&found, DType::u64, {4}}, words);
  constexpr std::uint64_t kMost = ~std::uint64_t{0} >> 1;
  const bool saturated = found.above > 0 || found.high > kMost;
  total.add(saturated ? WideSum{~std::uint64_t{0}, static_cast<std::int64_t>(kMost)}
                      : WideSum{found.low, static_cast<std::int64_t>(found.high)});
  return found.refused == 0;
}

template <>
void Adamw<Backend::cuda>::step(Context& context, TensorView master, TensorView m, TensorView v,
                                TensorView weight, ConstTensorView sums, const AdamwScalars& scalars) {
  const cuda::AdamwState state{master.data<float>(),
                               m.data<float>(),
                               v.data<float>(),
                               weight.raw(),
                               weight.present() && weight.dtype() == DType::bf16,
                               sums.data<std::int64_t>()};
  cuda::adamw_step(
      cuda::stream_of(context), state, master.elements(),
      {scalars.learning_rate, scalars.beta1, scalars.beta2, scalars.epsilon, scalars.weight_decay,
       scalars.bias_correction1, scalars.bias_correction2, kGridUnit * scalars.gradient_scale});
}

}  // namespace switchyard::kernels
