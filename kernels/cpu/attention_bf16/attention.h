// Attention of bf16 tensors on the units of kernels/cpu/products/bf16, chosen by the context's level. Blocks
// and their order are those of fp32 (kernels/cpu/attention_blocks.h); scores, softmax and all sums are fp32,
// and weights are rounded to bf16 once, where they meet values or gradients.
#pragma once

#include "kernels/ops/attention.h"

namespace switchyard::kernels {

/// As ops/attention.h; all tensors bf16 but lse.
template <Backend>
struct PairAttention {
  static void forward(Context& context, TensorView y, TensorView lse, ConstTensorView q, ConstTensorView k,
                      ConstTensorView v, float scale, std::int64_t window);
  static void backward(Context& context, TensorView dq, TensorView dk, TensorView dv, ConstTensorView dy,
                       ConstTensorView q, ConstTensorView k, ConstTensorView v, ConstTensorView y,
                       ConstTensorView lse, float scale, std::int64_t window);
};

}  // namespace switchyard::kernels
