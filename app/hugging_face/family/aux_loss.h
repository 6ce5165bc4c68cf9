// The coefficient of the load-balancing loss in both definitions.
//
// transformers: coefficient * E * sum_e f_e P_e, where f_e counts all K choices of a token and f and P are
// means over the tokens of all layers together. Ours: alpha * E * sum_e (f_e / K) P_e of each layer, summed
// over the layers. They are equal for one MoE layer, and for layers that route alike.
#pragma once

#include "moe/model/config.h"

namespace switchyard::app {

/// alpha for a model that transformers trains with `coefficient`.
double our_aux_loss(const moe::ModelConfig& model, double coefficient);
/// Inverse of our_aux_loss, of model.moe.aux_loss.
double their_aux_loss(const moe::ModelConfig& model);

}  // namespace switchyard::app
