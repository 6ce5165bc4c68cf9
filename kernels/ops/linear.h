// Dense products with a weight stored (out, in). Each element of y and dx is one chain of fused multiply-adds
// over the reduction in index order, starting from 0 (or from what is there already, for Write::add),
// whatever the blocking: a row's bits depend on that row and the weight only.
#pragma once

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

enum class Write : std::uint8_t { overwrite, add };

/// y (N, O) = x (N, I) * weight (O, I)^T + bias (O); an absent bias is none. The bias is added after the
/// chain.
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
