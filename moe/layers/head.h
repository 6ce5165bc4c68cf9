// Final norm, vocabulary head and cross-entropy, in chunks of rows: logits of the whole unit are never
// stored.
#pragma once

#include "moe/layers/layer.h"

namespace switchyard::moe {

struct HeadParameters {
  const Parameter* norm = nullptr;
  const Parameter* head = nullptr;  ///< (V, C); the embedding where tied
};

/// Mean cross-entropy of x (N, C) against targets (N) i32, in nats; 0 without rows. Rows are summed in order
/// in double.
double head_loss(LayerContext& layer, const HeadParameters& parameters, ConstTensorView x,
                 ConstTensorView targets);

/// As head_loss, and overwrites dx (N, C) with the gradient of that mean, adding to the parameters'
/// gradients.
double head_loss_and_gradient(LayerContext& layer, const HeadParameters& parameters, TensorView dx,
                              ConstTensorView x, ConstTensorView targets);

/// logits (N, V) f32 of x (N, C).
void head_logits(LayerContext& layer, const HeadParameters& parameters, TensorView logits, ConstTensorView x);

}  // namespace switchyard::moe
