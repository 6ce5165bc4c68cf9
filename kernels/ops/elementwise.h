// Sums and limits of activations and the scalar gate of a shared expert.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// y = a + b, all (N, C); y may be the memory of a or b.
void add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b);

/// y (N, C) = sigmoid(gate (N, 1)) * x (N, C), row by row.
void row_gate_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView gate);

/// dx (N, C) and dgate (N, 1) are overwritten.
void row_gate_backward(Context& context, TensorView dx, TensorView dgate, ConstTensorView dy,
                       ConstTensorView x, ConstTensorView gate);

/// y (N, C) = x (N, C) kept within [-limit, limit], limit > 0; NaN stays NaN. y may be the memory of x.
void clip_forward(Context& context, TensorView y, ConstTensorView x, float limit);

/// dx (N, C) = dy (N, C) where x (N, C), the values before clipping, lies within the limits, else 0. dx may
/// be the memory of dy.
void clip_backward(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView x, float limit);

template <Backend>
struct Elementwise {
  static void add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b);
  static void row_gate_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView gate);
  static void row_gate_backward(Context& context, TensorView dx, TensorView dgate, ConstTensorView dy,
                                ConstTensorView x, ConstTensorView gate);
  static void clip_forward(Context& context, TensorView y, ConstTensorView x, float limit);
  static void clip_backward(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView x,
                            float limit);
};

}  // namespace switchyard::kernels
