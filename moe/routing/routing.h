// Which experts each token goes to, with the balancing losses: decided once per unit and kept for the
// backward pass and for recomputation, never decided twice.
//
// Losses of one layer and unit (N rows, sequences of T rows, p = normalised scores over all experts, c = how
// often an expert is among the K largest p; c carries no gradient):
//   Switch, per unit:      alpha * E / (K N^2) * sum_i c_i sum_t p_ti              (= alpha when balanced)
//   ... over all layers:   alpha * E / (K N^2 L^2) * sum_i (c_i of all layers) (sum_t p_ti of all layers)
//   Switch, per sequence:  the same over each sequence's T rows, averaged over the sequences
//   z:                     coefficient * mean_t logsumexp(logits_t)^2
// They are averaged over the units of a step and summed over layers (L = MoE layers; the loss over all layers
// is one number, of which a layer's share is that of its probabilities). c ignores the bias, the groups and
// drops (as in DeepSeek-V3, equation 18, and Megatron-Core); so does p.
#pragma once

#include <vector>

#include "moe/layers/layer.h"

namespace switchyard::moe {

/// The decision. Lives in the activation arena until the unit's backward pass, also with recomputation;
/// counts, which the host reads, in LayerContext::host.
struct Routing {
  TensorView logits;       // (N, E)
  TensorView probability;  // (N, E)
  TensorView lse;          // (N)
  TensorView expert;       // (N, K) i32: the choice, also of slots that were dropped after it
  TensorView weight;       // (N, K)
  TensorView count;        // (E) i32: rows per expert after drops
  TensorView row_of_slot;  // (N, K) i32, -1 = dropped
  TensorView slot_of_row;  // (N K) i32
  TensorView top_count;    // (S, E) i64, S = sequences of the unit (at least 1)
  // With the unit's loss over all layers:
  TensorView probability_sum;  // (E) f64: sum of probability over the rows
  TensorView layers_count;     // (E) i64: top_count over all rows and layers; set by balance_over_layers
  std::int64_t rows = 0;       // R: sum of count
};

/// What one layer saw in one unit: integers and exact-order sums, for balancing, metrics and losses.
struct RoutingStatistics {
  std::vector<std::int64_t> load;  ///< (E) slots that chose the expert, before drops
  std::int64_t dropped = 0;        ///< slots that did not fit the capacity
  double entropy = 0;              ///< mean over rows, nats
  double aux_loss = 0;             ///< with its coefficient, like the next two
  double sequence_aux_loss = 0;
  double z_loss = 0;
};

/// Rows an expert keeps of a unit of N rows: ceil(N K / E * factor); 0 = no limit.
std::int64_t expert_capacity(const MoeConfig& config, std::int64_t N);

/// Routes x (N, C) by router weight (E, C) and selection bias (E), which may be absent.
Routing route(LayerContext& layer, ConstTensorView x, ConstTensorView router_weight, ConstTensorView bias,
              RoutingStatistics& statistics);

/// For aux_loss_over: all_layers, once all MoE layers of a unit are routed: gives each the counts of all,
/// which its backward pass needs, and sets the `aux_loss` of their statistics. Both lists are in the order of
/// layers.
void balance_over_layers(LayerContext& layer, const std::vector<Routing*>& routings,
                         std::vector<RoutingStatistics>& statistics);

/// dlogits (N, E) is overwritten: gradient through the combine weights (dweight (N, K)) and of the balancing
/// losses.
void route_backward(LayerContext& layer, TensorView dlogits, ConstTensorView dweight, const Routing& routing);

/// One step of aux-loss-free balancing (Wang et al., 2024): bias_i += rate * sign(mean load - load_i),
/// sign(0) = 0. The update has no re-centring: the selection depends on differences of biases only.
void update_balancing_bias(TensorView bias, const std::vector<std::int64_t>& load, double rate);

}  // namespace switchyard::moe
