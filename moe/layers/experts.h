// The experts of this rank on the rows that arrive for them: y = down(silu(gate(x)) * up(x)), all local
// experts in one call, over the expert axis and back.
#pragma once

#include <optional>

#include "moe/layers/layer.h"
#include "parallel/exchange/row_exchange.h"

namespace switchyard::moe {

struct ExpertParameters {
  const Parameter* gate_up = nullptr;  ///< (E_loc, 2F, C): gate rows first
  const Parameter* down = nullptr;     ///< (E_loc, C, F)
};

/// Kept for the backward pass where all rows fit one round. An overload that needs several rounds keeps
/// nothing: the backward pass fetches the rows again and computes gate_up again, so the bound on memory holds
/// there too.
struct ExpertsSaved {
  std::optional<parallel::ExchangePlan> plan;
  TensorView rows;     // (M, C): as they arrived
  TensorView gate_up;  // (M, 2F)
  TensorView hidden;   // (M, F)
};

/// returned (R, C): the experts' results for this rank's rows `sorted` (R, C), in expert order, `count` (E)
/// i32 each. Collective over the expert axis.
void experts_forward(LayerContext& layer, parallel::RowExchange& exchange, const ExpertParameters& parameters,
                     TensorView returned, TensorView sorted, ConstTensorView count, ExpertsSaved& saved);

/// dsorted (R, C) is overwritten. Collective over the expert axis.
void experts_backward(LayerContext& layer, parallel::RowExchange& exchange,
                      const ExpertParameters& parameters, TensorView dsorted, TensorView dreturned,
                      TensorView sorted, const ExpertsSaved& saved);

}  // namespace switchyard::moe
