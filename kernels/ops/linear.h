// Dense products with a weight stored (out, in). Rows, weight and their gradients are A (kernels/README.md);
// y may also be f32 where A is bf16. Sums are fp32, rounded once at the store.
//
// In fp32 each element of y and dx is one chain of fused multiply-adds over the reduction in index order,
// starting from 0 (or from what is there already, for Write::add), whatever the blocking. In bf16 the order
// is any fixed one that follows from the depth of the product alone, and Write::add adds what is there last.
// In both a row's bits depend on that row and the weight only.
#pragma once

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

enum class Write : std::uint8_t { overwrite, add };

/// y (N, O) = x (N, I) * weight (O, I)^T + bias (O) f32; an absent bias is none. The bias is added after the
/// sum, before the rounding.
void linear_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                    ConstTensorView bias);

/// dx (N, I) = or += dy (N, O) * weight (O, I).
void linear_backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                          Write write);

/// dweight (O, I) += dy (N, O)^T * x (N, I); one segment of rows.
void linear_backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                            ConstTensorView x);

/// dbias (O) += sum over rows of dy (N, O); one segment of rows.
void linear_backward_bias(Context& context, const GradientSum& dbias, ConstTensorView dy);

template <Backend>
struct Linear {
  static void forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                      ConstTensorView bias);
  static void backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                            Write write);
  static void backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                              ConstTensorView x);
  static void backward_bias(Context& context, const GradientSum& dbias, ConstTensorView dy);
};

}  // namespace switchyard::kernels
