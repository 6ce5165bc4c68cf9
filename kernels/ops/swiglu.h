// Gated activation (Shazeer, 2020): h = silu(gate) * up, silu(z) = z * sigmoid(z). Computed in fp32; all
// tensors are A (kernels/README.md).
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// h (M, F) from gate_up (M, 2F): columns 0..F-1 are the gate, F..2F-1 the up projection.
void swiglu_forward(Context& context, TensorView h, ConstTensorView gate_up);

/// dgate_up (M, 2F) is overwritten (it may be the memory of gate_up). dh (M, F), gate_up (M, 2F).
void swiglu_backward(Context& context, TensorView dgate_up, ConstTensorView dh, ConstTensorView gate_up);

template <Backend>
struct Swiglu {
  static void forward(Context& context, TensorView h, ConstTensorView gate_up);
  static void backward(Context& context, TensorView dgate_up, ConstTensorView dh, ConstTensorView gate_up);
};

}  // namespace switchyard::kernels
