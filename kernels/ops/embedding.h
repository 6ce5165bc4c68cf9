// Rows of a table by token id.
#pragma once

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// x (N, C) = weight (V, C)[tokens (N) i32], both A (kernels/README.md). Ids are below V: the data layer has
/// checked them.
void embedding_forward(Context& context, TensorView x, ConstTensorView tokens, ConstTensorView weight);

/// dweight (V, C) += dx (N, C), A, by token; one segment of rows: within a gradient block the rows of one
/// token are summed in fp32 in row order and rounded once.
void embedding_backward(Context& context, const GradientSum& dweight, ConstTensorView dx,
                        ConstTensorView tokens);

template <Backend>
struct Embedding {
  static void forward(Context& context, TensorView x, ConstTensorView tokens, ConstTensorView weight);
  static void backward(Context& context, const GradientSum& dweight, ConstTensorView dx,
                       ConstTensorView tokens);
};

}  // namespace switchyard::kernels
