// Dense MLP and mixture of experts on normalised rows, forward on any scalar and backward in double. Part of
// reference_model.cpp.
#pragma once

#include "kernels/reference/elementwise.h"
#include "kernels/reference/grouped_linear.h"
#include "kernels/reference/swiglu.h"
#include "tests/support/reference_model_router.h"

namespace switchyard::test {

template <typename T>
struct MlpTrace {
  Values<T> gate_up, hidden;
};

/// y (N, C); tensors `prefix`gate_up.weight (2F, C) and `prefix`down.weight (C, F).
template <typename T>
Values<T> mlp(const LayerWeights<T>& weights, const std::string& prefix, const Values<T>& x, std::int64_t N,
              std::int64_t C, MlpTrace<T>& trace) {
  const std::int64_t F = weights.elements(prefix + "down.weight") / C;
  trace.gate_up = zeros<T>(N * 2 * F);
  trace.hidden = zeros<T>(N * F);
  Values<T> y = zeros<T>(N * C);
  reference::linear_forward<T>(trace.gate_up.data(), x.data(), weights.get(prefix + "gate_up.weight"),
                               nullptr, N, 2 * F, C);
  reference::swiglu_forward(trace.hidden.data(), trace.gate_up.data(), N, F);
  reference::linear_forward<T>(y.data(), trace.hidden.data(), weights.get(prefix + "down.weight"), nullptr, N,
                               C, F);
  return y;
}

/// dx (N, C) is added to.
inline void mlp_backward(const LayerWeights<double>& weights, const LayerGradients& gradients,
                         const std::string& prefix, Values<double>& dx, const Values<double>& dy,
                         const Values<double>& x, std::int64_t N, std::int64_t C,
                         const MlpTrace<double>& trace) {
  const std::int64_t F = weights.elements(prefix + "down.weight") / C;
  Values<double> dhidden = zeros<double>(N * F), dgate_up = zeros<double>(N * 2 * F);
  reference::linear_backward_data(dhidden.data(), dy.data(), weights.get(prefix + "down.weight"), N, C, F);
  reference::linear_backward_weight(gradients.get(prefix + "down.weight"), dy.data(), trace.hidden.data(), N,
                                    C, F);
  reference::swiglu_backward(dgate_up.data(), dhidden.data(), trace.gate_up.data(), N, F);
  reference::linear_backward_data(dx.data(), dgate_up.data(), weights.get(prefix + "gate_up.weight"), N,
                                  2 * F, C);
  reference::linear_backward_weight(gradients.get(prefix + "gate_up.weight"), dgate_up.data(), x.data(), N,
                                    2 * F, C);
}

template <typename T>
struct MoeTrace {
  RoutingTrace<T> routing;
  Values<T> sorted, gate_up, hidden, returned;
  MlpTrace<T> shared;
  Values<T> shared_out, gate;
};

/// base + shared(x) + weighted experts(x), (N, C).
template <typename T>
Values<T> mixture(const moe::ModelConfig& config, const LayerWeights<T>& weights, const Values<T>& x,
                  const Values<T>& base, std::int64_t N, MoeTrace<T>& trace) {
  const RoutingTrace<T>& routing = trace.routing;
  const std::int64_t C = config.width, E = config.moe.experts, K = config.moe.top_k, R = routing.rows;
  const std::int64_t F = weights.elements("moe.experts.down.weight") / (E * C);
  trace.sorted = zeros<T>(R * C);
  trace.gate_up = zeros<T>(R * 2 * F);
  trace.hidden = zeros<T>(R * F);
  trace.returned = zeros<T>(R * C);
  reference::gather_rows_forward(trace.sorted.data(), x.data(), routing.slot_of_row.data(), R, K, C);
  reference::grouped_linear_forward(trace.gate_up.data(), trace.sorted.data(),
                                    weights.get("moe.experts.gate_up.weight"), routing.segments.data(), E,
                                    2 * F, C);
  reference::swiglu_forward(trace.hidden.data(), trace.gate_up.data(), R, F);
  reference::grouped_linear_forward(trace.returned.data(), trace.hidden.data(),
                                    weights.get("moe.experts.down.weight"), routing.segments.data(), E, C, F);
  Values<T> y = zeros<T>(N * C);
  reference::combine_rows_forward(y.data(), trace.returned.data(), routing.weight.data(),
                                  routing.row_of_slot.data(), base.data(), N, K, C);
  if (config.moe.shared_experts == 0) return y;
  trace.shared_out = mlp(weights, "moe.shared.", x, N, C, trace.shared);
  Values<T> added = trace.shared_out;
  if (config.moe.shared_expert_gate) {
    trace.gate = zeros<T>(N);
    reference::linear_forward<T>(trace.gate.data(), x.data(), weights.get("moe.shared_gate.weight"), nullptr,
                                 N, 1, C);
    reference::row_gate_forward(added.data(), trace.shared_out.data(), trace.gate.data(), N, C);
  }
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += added[i];
  return y;
}

/// Gradient of x, through the experts, the shared expert, the weights and the balancing losses.
inline Values<double> mixture_backward(const moe::ModelConfig& config, const LayerWeights<double>& weights,
                                       const LayerGradients& gradients, const Values<double>& dy,
                                       const Values<double>& x, std::int64_t B, std::int64_t N,
                                       const MoeTrace<double>& trace) {
  const RoutingTrace<double>& routing = trace.routing;
  const std::int64_t C = config.width, E = config.moe.experts, K = config.moe.top_k, R = routing.rows;
  const std::int64_t F = weights.elements("moe.experts.down.weight") / (E * C);
  Values<double> dreturned = zeros<double>(R * C), dweight = zeros<double>(N * K);
  reference::combine_rows_backward(dreturned.data(), dweight.data(), dy.data(), trace.returned.data(),
                                   routing.weight.data(), routing.row_of_slot.data(), N, K, C);
  Values<double> dhidden = zeros<double>(R * F), dgate_up = zeros<double>(R * 2 * F),
                 dsorted = zeros<double>(R * C), dx = zeros<double>(N * C);
  const std::int32_t* segments = routing.segments.data();
  reference::grouped_linear_backward_data(dhidden.data(), dreturned.data(),
                                          weights.get("moe.experts.down.weight"), segments, E, C, F);
  reference::grouped_linear_backward_weight(gradients.get("moe.experts.down.weight"), dreturned.data(),
                                            trace.hidden.data(), segments, E, C, F);
  reference::swiglu_backward(dgate_up.data(), dhidden.data(), trace.gate_up.data(), R, F);
  reference::grouped_linear_backward_data(dsorted.data(), dgate_up.data(),
                                          weights.get("moe.experts.gate_up.weight"), segments, E, 2 * F, C);
  reference::grouped_linear_backward_weight(gradients.get("moe.experts.gate_up.weight"), dgate_up.data(),
                                            trace.sorted.data(), segments, E, 2 * F, C);
  reference::gather_rows_backward(dx.data(), dsorted.data(), routing.row_of_slot.data(), N, K, C);
  if (config.moe.shared_experts > 0) {
    Values<double> dshared = dy;
    if (config.moe.shared_expert_gate) {
      Values<double> dgate = zeros<double>(N);
      reference::row_gate_backward(dshared.data(), dgate.data(), dy.data(), trace.shared_out.data(),
                                   trace.gate.data(), N, C);
      reference::linear_backward_data(dx.data(), dgate.data(), weights.get("moe.shared_gate.weight"), N, 1,
                                      C);
      reference::linear_backward_weight(gradients.get("moe.shared_gate.weight"), dgate.data(), x.data(), N, 1,
                                        C);
    }
    mlp_backward(weights, gradients, "moe.shared.", dx, dshared, x, N, C, trace.shared);
  }
  Values<double> dlogits = zeros<double>(N * E);
  reference::router_backward(dlogits.data(), dweight.data(), routing.dprobability.data(), B,
                             routing.chosen.data(), routing.logits.data(), N, E, K, routing.options);
  reference::linear_backward_data(dx.data(), dlogits.data(), weights.get("moe.router.weight"), N, E, C);
  reference::linear_backward_weight(gradients.get("moe.router.weight"), dlogits.data(), x.data(), N, E, C);
  return dx;
}

}  // namespace switchyard::test
