#include "moe/layers/experts.h"

#include "kernels/ops/grouped_linear.h"
#include "kernels/ops/swiglu.h"
#include "moe/broken/broken_rules.h"
#include "moe/layers/placement.h"

namespace switchyard::moe {

namespace {

using parallel::ExchangePlan;

// Memory for the rows of one round, for an exchange that has somewhere else to put them.
TensorView round_buffer(kernels::Arena& arena, const ExchangePlan& plan, ConstTensorView sorted) {
  return plan.ranks() == 1 ? TensorView()
                           : arena.tensor(sorted.dtype(), {plan.largest_round(), sorted.dim(1)});
}

// Rows to the experts and back, with the time they take (waiting for slower ranks included) and the bytes
// they bring.
void dispatch(LayerContext& layer, parallel::RowExchange& exchange, const ExchangePlan& plan, int round,
              TensorView received, ConstTensorView sorted) {
  const kernels::TraceScope trace(layer.kernels.trace(), "exchange_dispatch", 0,
                                  static_cast<double>(received.bytes()));
  exchange.dispatch(plan, round, received, sorted);
}

void combine(LayerContext& layer, parallel::RowExchange& exchange, const ExchangePlan& plan, int round,
             TensorView sorted, ConstTensorView received) {
  const kernels::TraceScope trace(layer.kernels.trace(), "exchange_combine", 0,
                                  static_cast<double>(sorted.bytes()));
  exchange.combine(plan, round, sorted, received);
}

struct Hidden {
  TensorView gate_up;  // (M, 2F)
  TensorView hidden;   // (M, F)
};

Hidden hidden_forward(LayerContext& layer, kernels::Arena& arena, const ExpertParameters& parameters,
                      ConstTensorView rows, ConstTensorView segments) {
  const std::int64_t M = rows.dim(0), F = parameters.down->weight.dim(2);
  const Hidden result = {arena.tensor(layer.A(), {M, 2 * F}), arena.tensor(layer.A(), {M, F})};
  if (layer.kernels.breakage().rule == kernels::BrokenRule::split_reduction) {
    broken::split_forward(layer.kernels, result.gate_up, rows, parameters.gate_up->weight, segments);
  } else {
    kernels::grouped_linear_forward(layer.kernels, result.gate_up, rows, parameters.gate_up->weight,
                                    segments);
  }
  kernels::swiglu_forward(layer.kernels, result.hidden, result.gate_up);
  return result;
}

void add_weight_gradient(LayerContext& layer, const Parameter& parameter, ConstTensorView dy,
                         ConstTensorView x, ConstTensorView segments) {
  if (layer.kernels.breakage().rule == kernels::BrokenRule::merged_segments)
    return broken::merged_weight_gradient(layer.kernels, parameter.gradient, dy, x, segments);
  kernels::grouped_linear_backward_weight(layer.kernels, parameter.gradient, dy, x, segments);
}

}  // namespace

void experts_forward(LayerContext& layer, parallel::RowExchange& exchange, const ExpertParameters& parameters,
                     TensorView returned, TensorView sorted, ConstTensorView count, ExpertsSaved& saved) {
  saved.plan.emplace(exchange.plan(count));
  const ExchangePlan& plan = *saved.plan;
  kernels::Arena& arena = layer.activations;
  const bool keeps = plan.rounds() == 1;
  TensorView buffer;
  if (keeps) buffer = round_buffer(arena, plan, sorted);
  for (int round = 0; round < plan.rounds(); ++round) {
    const ConstTensorView segments = placed(layer, plan.segments(round));
    // What is kept goes below the scope, everything else above it.
    if (keeps) {
      saved.rows = exchange.received(plan, round, sorted, buffer);
      dispatch(layer, exchange, plan, round, saved.rows, sorted);
      const Hidden hidden = hidden_forward(layer, arena, parameters, saved.rows, segments);
      saved.gate_up = hidden.gate_up;
      saved.hidden = hidden.hidden;
    }
    kernels::ArenaScope scope(arena);
    TensorView hidden = saved.hidden;
    if (!keeps) {
      const TensorView rows = exchange.received(plan, round, sorted, round_buffer(arena, plan, sorted));
      dispatch(layer, exchange, plan, round, rows, sorted);
      hidden = hidden_forward(layer, arena, parameters, rows, segments).hidden;
    }
    const TensorView results = exchange.received(plan, round, returned, round_buffer(arena, plan, sorted));
    kernels::grouped_linear_forward(layer.kernels, results, hidden, parameters.down->weight, segments);
    combine(layer, exchange, plan, round, returned, results);
  }
}

void experts_backward(LayerContext& layer, parallel::RowExchange& exchange,
                      const ExpertParameters& parameters, TensorView dsorted, TensorView dreturned,
                      TensorView sorted, const ExpertsSaved& saved) {
  const std::int64_t F = parameters.down->weight.dim(2);
  const ExchangePlan& plan = *saved.plan;
  kernels::Arena& arena = layer.activations;
  for (int round = 0; round < plan.rounds(); ++round) {
    kernels::ArenaScope scope(arena);
    const ConstTensorView segments = placed(layer, plan.segments(round));
    TensorView rows = saved.rows;
    Hidden kept = {saved.gate_up, saved.hidden};
    if (plan.rounds() > 1) {
      rows = exchange.received(plan, round, sorted, round_buffer(arena, plan, sorted));
      dispatch(layer, exchange, plan, round, rows, sorted);
      kept = hidden_forward(layer, arena, parameters, rows, segments);
    }
    const std::int64_t M = rows.dim(0);
    const TensorView dresults = exchange.received(plan, round, dreturned, round_buffer(arena, plan, sorted));
    dispatch(layer, exchange, plan, round, dresults, dreturned);
    add_weight_gradient(layer, *parameters.down, dresults, kept.hidden, segments);
    const TensorView dhidden = arena.tensor(layer.A(), {M, F});
    const TensorView dgate_up = arena.tensor(layer.A(), {M, 2 * F});
    kernels::grouped_linear_backward_data(layer.kernels, dhidden, dresults, parameters.down->weight,
                                          segments);
    kernels::swiglu_backward(layer.kernels, dgate_up, dhidden, kept.gate_up);
    add_weight_gradient(layer, *parameters.gate_up, dgate_up, rows, segments);
    const TensorView drows = exchange.received(plan, round, dsorted, round_buffer(arena, plan, sorted));
    kernels::grouped_linear_backward_data(layer.kernels, drows, dgate_up, parameters.gate_up->weight,
                                          segments);
    combine(layer, exchange, plan, round, dsorted, drows);
  }
}

}  // namespace switchyard::moe
