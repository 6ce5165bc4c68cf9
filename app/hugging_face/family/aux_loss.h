// The coefficient of the load-balancing loss in both definitions.
//
// transformers: coefficient * E * sum_e f_e P_e, where f_e counts all K choices of a token and f and P are
// means over the tokens of all layers together. Ours over all layers is the same with f_e / K; ours of each
// layer, summed over the layers, is equal to it for layers that route alike.
#pragma once

#include "moe/model/config.h"

namespace switchyard::app {

/// Sets aux_loss and aux_loss_over to the loss of a model that transformers trains with `coefficient`.
void set_our_aux_loss(moe::ModelConfig& model, double coefficient);
/// transformers' coefficient; for a loss of each layer, the one that weighs as much.
double their_aux_loss(const moe::ModelConfig& model);

}  // namespace switchyard::app
