// Mixture of experts on normalised rows, without norm: router, exchange, experts, combine, shared expert.
#pragma once

#include "moe/layers/experts.h"
#include "moe/layers/mlp.h"
#include "moe/routing/routing.h"

namespace switchyard::moe {

struct MoeParameters {
  const Parameter* router = nullptr;  ///< (E, C)
  ExpertParameters experts;
  MlpParameters shared;                    ///< with shared experts
  const Parameter* shared_gate = nullptr;  ///< (1, C), with shared_expert_gate
};

struct MoeSaved {
  ExpertsSaved experts;
  TensorView sorted;    // (R, C): normalised rows in expert order
  TensorView returned;  // (R, C): what the experts made of them
  MlpSaved shared;
  TensorView shared_out;  // (N, C), before the gate
  TensorView gate;        // (N, 1)
};

/// y (N, C) = base (N, C) + shared(x) + sum over the chosen experts of weight * expert(x). Collective over
/// the expert axis. y may not be the memory of base.
void moe_forward(LayerContext& layer, parallel::RowExchange& exchange, const MoeParameters& parameters,
                 TensorView y, ConstTensorView x, ConstTensorView base, const Routing& routing,
                 MoeSaved& saved);

/// dx (N, C) is overwritten with the gradient of x (base's is dy itself). Collective over the expert axis.
void moe_backward(LayerContext& layer, parallel::RowExchange& exchange, const MoeParameters& parameters,
                  TensorView dx, ConstTensorView dy, ConstTensorView x, const Routing& routing,
                  const MoeSaved& saved);

}  // namespace switchyard::moe
