// Dense SwiGLU MLP on normalised rows, without norm or residual: y = down(silu(gate(x)) * up(x)).
#pragma once

#include "moe/layers/layer.h"

namespace switchyard::moe {

struct MlpParameters {
  const Parameter* gate_up = nullptr;  ///< (2F, C): gate rows first
  const Parameter* down = nullptr;     ///< (C, F)
};

struct MlpSaved {
  TensorView gate_up;  // (N, 2F)
  TensorView hidden;   // (N, F)
};

/// y (N, C) is overwritten; x (N, C).
void mlp_forward(LayerContext& layer, const MlpParameters& parameters, TensorView y, ConstTensorView x,
                 MlpSaved& saved);

/// dx (N, C) is overwritten or added to.
void mlp_backward(LayerContext& layer, const MlpParameters& parameters, TensorView dx, bool add_to_dx,
                  ConstTensorView dy, ConstTensorView x, const MlpSaved& saved);

}  // namespace switchyard::moe
