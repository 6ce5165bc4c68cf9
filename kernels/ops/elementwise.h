// Sums, limits and conversions of activations and the scalar gate of a shared expert.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// y = a + b, all (N, C), each f32 or bf16: added in fp32 and rounded once. y may be the memory of an operand
/// of its dtype.
void add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b);

/// y = x, any one shape, each f32 or bf16; to bf16 the values are rounded to nearest even, NaN stays NaN.
void convert(Context& context, TensorView y, ConstTensorView x);

/// y (N, C) = sigmoid(gate (N, 1) f32) * x (N, C), row by row. x and y are A (kernels/README.md).
void row_gate_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView gate);

/// dx (N, C) and dgate (N, 1) f32 are overwritten. dx, dy and x are A.
void row_gate_backward(Context& context, TensorView dx, TensorView dgate, ConstTensorView dy,
                       ConstTensorView x, ConstTensorView gate);

/// y (N, C) = x (N, C) kept within [-limit, limit], limit > 0, the limit rounded to A, which both are; NaN
/// stays NaN. y may be the memory of x.
void clip_forward(Context& context, TensorView y, ConstTensorView x, float limit);

/// dx (N, C) = dy (N, C) where x (N, C), the values before clipping, lies within the limits, else 0; all A.
/// dx may be the memory of dy.
void clip_backward(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView x, float limit);

template <Backend>
struct Elementwise {
  static void add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b);
  static void convert(Context& context, TensorView y, ConstTensorView x);
  static void row_gate_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView gate);
  static void row_gate_backward(Context& context, TensorView dx, TensorView dgate, ConstTensorView dy,
                                ConstTensorView x, ConstTensorView gate);
  static void clip_forward(Context& context, TensorView y, ConstTensorView x, float limit);
  static void clip_backward(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView x,
                            float limit);
};

}  // namespace switchyard::kernels
