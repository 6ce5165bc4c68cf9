// What the dense and the grouped weight gradients share: the plan's memory and the choice of the form.
#pragma once

#include "kernels/cuda/products/grouped/kernels.h"
#include "kernels/runtime/context.h"

namespace switchyard::kernels::cuda {

/// Memory for the blocks of up to `segments` segments in `rows` rows, valid while the scope is.
GradientBlocks take_gradient_blocks(ArenaScope& scope, std::int64_t rows, std::int64_t segments,
                                    std::int64_t experts);

/// Adds the products of the planned blocks, in the form that serves for `dtype` (of dy and x).
void add_gradient(Context& context, const GradientProduct& product, const GradientBlocks& plan, DType dtype);

}  // namespace switchyard::kernels::cuda
