#include "kernels/cuda/products/gradient.h"

#include "kernels/cuda/products/chip.h"
#include "kernels/cuda/products/grouped/forms.h"
#include "kernels/cuda/runtime/stream.h"
#include "kernels/ops/gradient_sum.h"

namespace switchyard::kernels::cuda {

GradientBlocks take_gradient_blocks(ArenaScope& scope, std::int64_t rows, std::int64_t segments,
                                    std::int64_t experts) {
  static_assert(sizeof(GradientBlock) == 2 * sizeof(std::int32_t));
  auto* begin = scope.tensor(DType::i32, {experts + 1}).data<std::int32_t>();
  const TensorView blocks = scope.tensor(DType::i32, {rows / kGradientBlockRows + segments, 2});
  return {begin, reinterpret_cast<GradientBlock*>(blocks.data<std::int32_t>())};
}

void add_gradient(Context& context, const GradientProduct& product, const GradientBlocks& plan, DType dtype) {
  const Chip chip = current_chip();
  switch (grouped_form(chip.capability, dtype, product.in, product.out)) {
    case GroupedForm::warpgroup:
      return gradient_warpgroup(stream_of(context), product, plan, chip.processors);
    case GroupedForm::warp:
      return gradient_warp(stream_of(context), product, plan, chip.processors);
    case GroupedForm::plain:
      return gradient_plain(stream_of(context), product, plan, chip.processors);
  }
}

}  // namespace switchyard::kernels::cuda
