// Choice of experts per token and its gradients, all in fp32.
//
// Order: scores -> (bias, for the choice only) -> groups -> top-k -> renormalise -> scale. Ties go to the
// lowest expert (and lowest group) index. The key of the choice is score + bias: the softmax, the sigmoid,
// or, for softmax_after_top_k, the logit. NaN keys rank below everything, so a row always has K different
// experts; all weights of a row whose log-sum-exp is not finite are NaN, so that the step is seen as
// non-finite even if the NaN was not chosen.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

struct RouterOptions {
  bool sigmoid = false;              ///< scores by sigmoid; else softmax
  bool softmax_after_top_k = false;  ///< softmax over the chosen logits; `renormalize` then changes nothing
  bool renormalize = true;           ///< chosen weights / (their sum + 1e-20); not for sigmoid with K = 1
  float scaling_factor = 1.0F;       ///< multiplies the weights last
  std::int32_t groups = 1;           ///< equal contiguous groups of experts
  std::int32_t group_top_k =
      1;  ///< groups kept per token; a group counts the sum of its best max(1, K / group_top_k) keys
  float z_coefficient =
      0.0F;  ///< gradient of z_coefficient * sum over rows of logsumexp(logits)^2 (caller divides by N)
};

/// Overwrites expert (N, K) i32, in order of falling selection key; weight (N, K); probability (N, E):
/// softmax of the logits, or sigmoid scores divided by (their sum + 1e-20): what the balancing losses see,
/// without bias, groups or scaling; lse (N). logits (N, E); bias (E) f32, or absent.
void router_forward(Context& context, TensorView expert, TensorView weight, TensorView probability,
                    TensorView lse, ConstTensorView logits, ConstTensorView bias,
                    const RouterOptions& options);

/// dlogits (N, E) is overwritten. expert is the choice as router_forward gave it, before router_drop: also a
/// dropped slot's score is part of the sum that divides the others (its dweight is 0). dweight (N, K);
/// dprobability (S, E): gradient of the balancing losses with respect to the probabilities of every row of
/// group n / (N / S), or absent; the z-loss gradient is added where its coefficient is not 0. The choice
/// itself has no gradient.
void router_backward(Context& context, TensorView dlogits, ConstTensorView dweight,
                     ConstTensorView dprobability, ConstTensorView expert, ConstTensorView weight,
                     ConstTensorView probability, ConstTensorView lse, ConstTensorView logits,
                     const RouterOptions& options);

/// Statistics over S equal runs of rows (S divides N). Overwrites probability_sum (S, E) f64: sum of
/// probability over the rows, in row order; top_count (S, E) i64: how many rows have the expert among the K
/// largest probabilities (no bias, no groups); load (E) i64: slots of `expert` (N, K) that chose each expert;
/// row_sums (2) f64: sums over all rows, in an order fixed by N, of the entropy of `probability` (nats) and of lse^2.
void router_statistics(Context& context, TensorView probability_sum, TensorView top_count, TensorView load,
                       TensorView row_sums, ConstTensorView probability, ConstTensorView lse,
                       ConstTensorView expert);

/// Marks the slots that do not fit: an expert keeps `capacity` slots of these N rows; expert (N, K) of a
/// dropped slot becomes -1. By probability: the largest weights stay (ties: the lower row); else by position:
/// the first rows stay. Weights are not renormalised. Keep a copy of `expert` for router_backward.
void router_drop(Context& context, TensorView expert, ConstTensorView weight, std::int64_t experts,
                 std::int64_t capacity, bool by_probability);

template <Backend>
struct Router {
  static void forward(Context& context, TensorView expert, TensorView weight, TensorView probability,
                      TensorView lse, ConstTensorView logits, ConstTensorView bias,
                      const RouterOptions& options);
  static void backward(Context& context, TensorView dlogits, ConstTensorView dweight,
                       ConstTensorView dprobability, ConstTensorView expert, ConstTensorView weight,
                       ConstTensorView probability, ConstTensorView lse, ConstTensorView logits,
                       const RouterOptions& options);
  static void statistics(Context& context, TensorView probability_sum, TensorView top_count, TensorView load,
                         TensorView row_sums, ConstTensorView probability, ConstTensorView lse,
                         ConstTensorView expert);
  static void drop(Context& context, TensorView expert, ConstTensorView weight, std::int64_t experts,
                   std::int64_t capacity, bool by_probability);
};

}  // namespace switchyard::kernels
