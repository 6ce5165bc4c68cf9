// Products of rows with the weights of their experts, all experts of a rank in one call; all operands are A.
// The same sums as linear.h: a row's bits equal those of linear_forward with that expert's weight.
#pragma once

#include "kernels/ops/linear.h"

namespace switchyard::kernels {

// segments (S, 3) i32 on the context's device: {expert, first row, number of rows}. A segment holds rows of
// one micro-batch for one local expert; the same expert may own several, in any order, also with no rows.
// Segments do not overlap; rows outside every segment are left untouched.

/// y (M, O): rows of each segment = x (M, I) * weight[expert] (E_loc, O, I)^T.
void grouped_linear_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                            ConstTensorView segments);

/// dx (M, I): rows of each segment = dy (M, O) * weight[expert] (E_loc, O, I).
void grouped_linear_backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                                  ConstTensorView segments);

/// dweight (E_loc, O, I) += dy^T * x, each segment cut into gradient blocks from its own first row.
void grouped_linear_backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                                    ConstTensorView x, ConstTensorView segments);

template <Backend>
struct GroupedLinear {
  static void forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                      ConstTensorView segments);
  static void backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                            ConstTensorView segments);
  static void backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                              ConstTensorView x, ConstTensorView segments);
};

}  // namespace switchyard::kernels
