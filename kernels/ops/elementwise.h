// Sums of activations and the scalar gate of a shared expert.
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

template <Backend>
struct Elementwise {
  static void add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b);
  static void row_gate_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView gate);
  static void row_gate_backward(Context& context, TensorView dx, TensorView dgate, ConstTensorView dy,
                                ConstTensorView x, ConstTensorView gate);
};

}  // namespace switchyard::kernels
