// The products that stay in fp32 whatever the rows are stored in: a router's logits decide, and a gate is one
// number for a whole row.
#pragma once

#include "moe/layers/layer.h"

namespace switchyard::moe {

/// y (N, O) f32 = x (N, C) A * weight (O, C) f32 ^T.
void wide_linear_forward(LayerContext& layer, TensorView y, ConstTensorView x, ConstTensorView weight);

/// Adds to dx (N, C) A, and to the parameter's gradient, from dy (N, O) f32 and x (N, C) A.
void wide_linear_backward(LayerContext& layer, const Parameter& parameter, TensorView dx, ConstTensorView dy,
                          ConstTensorView x);

}  // namespace switchyard::moe
