// Root-mean-square normalisation (Zhang and Sennrich, 2019): y = x / sqrt(mean(x^2) + epsilon) * weight.
#pragma once

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// y (N, C) and rstd (N) f32 are overwritten; x (N, C), weight (C) f32. x and y are A (kernels/README.md).
/// Statistics in fp32.
void rms_norm_forward(Context& context, TensorView y, TensorView rstd, ConstTensorView x,
                      ConstTensorView weight, float epsilon);

/// dx (N, C) is overwritten with the input gradient, plus dresidual (N, C) where that is present (the
/// gradient that passed the norm by). dx may be the memory of dresidual or of dy. dweight (C) is added to.
/// dy, x (N, C), weight (C), rstd (N). What has N rows of C is A.
void rms_norm_backward(Context& context, TensorView dx, const GradientSum& dweight, ConstTensorView dy,
                       ConstTensorView x, ConstTensorView weight, ConstTensorView rstd,
                       ConstTensorView dresidual);

template <Backend>
struct RmsNorm {
  static void forward(Context& context, TensorView y, TensorView rstd, ConstTensorView x,
                      ConstTensorView weight, float epsilon);
  static void backward(Context& context, TensorView dx, const GradientSum& dweight, ConstTensorView dy,
                       ConstTensorView x, ConstTensorView weight, ConstTensorView rstd,
                       ConstTensorView dresidual);
};

}  // namespace switchyard::kernels
