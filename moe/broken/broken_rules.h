// What kernels/runtime/broken_rule.h names, done: each breaks one rule of determinism the way real trainers
// do. Tests of `verify` only.
#pragma once

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/context.h"

namespace switchyard::moe::broken {

/// grouped_linear_forward, but with the sum cut in two when the call holds more than a handful of rows, as
/// libraries choose split-K by size.
void split_forward(kernels::Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                   ConstTensorView segments);

/// grouped_linear_backward_weight, but adjacent segments of one expert share gradient blocks.
void merged_weight_gradient(kernels::Context& context, const kernels::GradientSum& dweight,
                            ConstTensorView dy, ConstTensorView x, ConstTensorView segments);

/// Rows whose probabilities (N, E) all tie choose from the last expert down on odd ranks; expert (N, K) is
/// changed.
void choose_ties_by_rank(const kernels::Context& context, TensorView expert, ConstTensorView probability);

}  // namespace switchyard::moe::broken
