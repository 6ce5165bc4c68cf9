// Which experts each row goes to, and the balancing losses by their definitions. Part of reference_model.cpp.
#pragma once

#include <algorithm>
#include <functional>
#include <numeric>

#include "kernels/reference/permute.h"
#include "kernels/reference/router.h"
#include "tests/support/reference_model_attention.h"

namespace switchyard::test {

/// Gap between the last that is in and the first that is out when `count` of the values are taken.
inline double cut_margin(std::vector<double> values, std::int64_t count) {
  if (count <= 0 || count >= std::ssize(values)) return HUGE_VAL;
  std::sort(values.begin(), values.end(), std::greater<>());
  return values[static_cast<std::size_t>(count) - 1] - values[static_cast<std::size_t>(count)];
}

/// Margin of one row's choice: between groups, and between experts of the groups that are kept.
inline double choice_margin(const std::vector<double>& keys, std::int64_t K,
                            const kernels::RouterOptions& options) {
  const std::int64_t size = std::ssize(keys) / options.groups;
  const std::int64_t counted = std::min(size, std::max<std::int64_t>(1, K / options.group_top_k));
  std::vector<double> groups;
  for (std::int64_t g = 0; g < options.groups; ++g) {
    std::vector<double> members(keys.begin() + g * size, keys.begin() + (g + 1) * size);
    std::sort(members.begin(), members.end(), std::greater<>());
    groups.push_back(std::accumulate(members.begin(), members.begin() + counted, 0.0));
  }
  const std::vector<bool> allowed = reference::allowed_experts(keys, K, options);
  std::vector<double> eligible;
  for (std::size_t e = 0; e < keys.size(); ++e)
    if (allowed[e]) eligible.push_back(keys[e]);
  return std::min(options.groups == 1 ? HUGE_VAL : cut_margin(groups, options.group_top_k),
                  cut_margin(eligible, K));
}

template <typename T>
struct RoutingTrace {
  kernels::RouterOptions options;
  Values<T> logits, weight, probability, lse;
  std::vector<std::int32_t> chosen, kept;  // (N, K): before and after drops
  std::vector<std::int32_t> row_of_slot, slot_of_row, segments;
  std::int64_t rows = 0;
  Values<double> dprobability;  // (B, E): of the balancing losses
  Values<double> unit_count;    // (E): rows that have the expert among their K most probable ones
  Values<T> unit_probability;   // (E): sum over the rows
};

inline kernels::RouterOptions reference_router_options(const moe::MoeConfig& config, std::int64_t N) {
  kernels::RouterOptions options;
  options.sigmoid = config.score == moe::RouterScore::sigmoid;
  options.softmax_after_top_k = config.softmax_order == moe::SoftmaxOrder::after_top_k;
  options.renormalize = config.renormalize;
  options.scaling_factor = static_cast<float>(config.scaling_factor);
  options.groups = static_cast<std::int32_t>(config.groups);
  options.group_top_k = static_cast<std::int32_t>(config.group_top_k);
  options.z_coefficient = static_cast<float>(config.z_loss / static_cast<double>(N));
  return options;
}

/// Drops what exceeds the capacity of each expert, from `kept`; returns the margin of that.
template <typename T>
double drop_beyond_capacity(const moe::MoeConfig& config, RoutingTrace<T>& routing, std::int64_t N) {
  if (config.capacity_factor <= 0) return HUGE_VAL;
  const auto capacity = static_cast<std::int64_t>(std::ceil(
      static_cast<double>(N * config.top_k) / static_cast<double>(config.experts) * config.capacity_factor));
  const bool by_weight = config.drop_policy == moe::DropPolicy::probability;
  double margin = HUGE_VAL;
  for (std::int32_t e = 0; e < config.experts; ++e) {
    std::vector<std::size_t> slots;
    std::vector<double> weights;
    for (std::size_t slot = 0; slot < routing.chosen.size(); ++slot) {
      if (routing.chosen[slot] != e) continue;
      slots.push_back(slot);
      weights.push_back(std::real(routing.weight[slot]));
    }
    if (by_weight) {
      std::stable_sort(slots.begin(), slots.end(), [&](std::size_t a, std::size_t b) {
        return std::real(routing.weight[a]) > std::real(routing.weight[b]);
      });
      margin = std::min(margin, cut_margin(weights, capacity));
    }
    for (std::size_t i = static_cast<std::size_t>(capacity); i < slots.size(); ++i)
      routing.kept[slots[i]] = -1;
  }
  return margin;
}

/// Balancing losses by their definitions: alpha * sum_i f_i P_i with f_i = E / (K n) * c_i and P_i the mean
/// probability, over all n rows of the unit and over those of each sequence. Returns their sum; fills their
/// gradient with respect to the probabilities.
template <typename T>
T balancing_losses(const moe::MoeConfig& config, std::int64_t B, std::int64_t Tq, RoutingTrace<T>& routing,
                   ReferenceRouting& result) {
  const std::int64_t E = config.experts, K = config.top_k, N = B * Tq;
  Values<double> counts = zeros<double>(B * E);
  Values<T> sums = zeros<T>(B * E);
  for (std::int64_t n = 0; n < N; ++n) {
    std::vector<double> keys;
    for (std::int64_t e = 0; e < E; ++e) {
      keys.push_back(std::real(routing.probability[static_cast<std::size_t>(n * E + e)]));
      sums[static_cast<std::size_t>(n / Tq * E + e)] +=
          routing.probability[static_cast<std::size_t>(n * E + e)];
    }
    for (const std::int32_t e : reference::largest_keys(keys, std::vector<bool>(keys.size(), true), K))
      counts[static_cast<std::size_t>(n / Tq * E + e)] += 1;
    result.margin = std::min(result.margin, cut_margin(keys, K));
  }
  const double per_unit = static_cast<double>(E) / static_cast<double>(K * N);
  const double per_sequence = static_cast<double>(E) / static_cast<double>(K * Tq);
  T unit_loss = 0, sequence_loss = 0;
  routing.dprobability = zeros<double>(B * E);
  for (std::int64_t e = 0; e < E; ++e) {
    double count = 0;
    T sum = 0;
    for (std::int64_t b = 0; b < B; ++b) {
      const auto i = static_cast<std::size_t>(b * E + e);
      count += counts[i];
      sum += sums[i];
      sequence_loss +=
          config.sequence_aux_loss * (per_sequence * counts[i]) * (sums[i] / double(Tq)) / double(B);
    }
    routing.unit_count.push_back(count);
    routing.unit_probability.push_back(sum);
    if (config.aux_loss_over == moe::AuxLossOver::all_layers) count = 0;  // see loss_over_layers
    unit_loss += config.aux_loss * (per_unit * count) * (sum / double(N));
    for (std::int64_t b = 0; b < B; ++b) {
      const auto i = static_cast<std::size_t>(b * E + e);
      routing.dprobability[i] = config.aux_loss * per_unit * count / double(N) +
                                config.sequence_aux_loss * per_sequence * counts[i] / double(Tq) / double(B);
    }
  }
  T z = 0;
  for (const T& lse : routing.lse) z += static_cast<double>(routing.options.z_coefficient) * lse * lse;
  result.aux_loss = std::real(unit_loss);
  result.sequence_aux_loss = std::real(sequence_loss);
  result.z_loss = std::real(z);
  return unit_loss + sequence_loss + z;
}

/// The same over the rows of all layers taken as rows of one: alpha * sum_i f_i P_i, f and P means over N * L
/// rows. Each layer's share of the loss is that of its probabilities.
template <typename T>
T loss_over_layers(const moe::MoeConfig& config, std::int64_t N, const std::vector<RoutingTrace<T>*>& layers,
                   std::vector<ReferenceRouting>& results) {
  const double rows = static_cast<double>(N) * static_cast<double>(layers.size());
  T total = 0;
  for (std::int64_t e = 0; e < config.experts; ++e) {
    const auto i = static_cast<std::size_t>(e);
    double count = 0;
    for (const RoutingTrace<T>* layer : layers) count += layer->unit_count[i];
    const double f = static_cast<double>(config.experts) * count / (static_cast<double>(config.top_k) * rows);
    for (std::size_t m = 0; m < layers.size(); ++m) {
      const T share = config.aux_loss * f * layers[m]->unit_probability[i] / rows;
      results[m].aux_loss += std::real(share);
      total += share;
      for (std::size_t at = i; at < layers[m]->dprobability.size();
           at += static_cast<std::size_t>(config.experts))
        layers[m]->dprobability[at] += config.aux_loss * f / rows;
    }
  }
  return total;
}

/// The decision for x (N, C); returns the balancing losses. bias may be null.
template <typename T>
T decide(const moe::ModelConfig& config, const LayerWeights<T>& weights, const std::vector<double>* bias,
         std::int64_t B, std::int64_t Tq, const Values<T>& x, RoutingTrace<T>& routing,
         ReferenceRouting& result) {
  const moe::MoeConfig& moe = config.moe;
  const std::int64_t N = B * Tq, E = moe.experts, K = moe.top_k;
  routing.options = reference_router_options(moe, N);
  routing.logits = zeros<T>(N * E);
  routing.probability = zeros<T>(N * E);
  routing.lse = zeros<T>(N);
  routing.weight = zeros<T>(N * K);
  routing.chosen.assign(static_cast<std::size_t>(N * K), 0);
  reference::linear_forward<T>(routing.logits.data(), x.data(), weights.get("moe.router.weight"), nullptr, N,
                               E, config.width);
  reference::router_forward(routing.chosen.data(), routing.weight.data(), routing.probability.data(),
                            routing.lse.data(), routing.logits.data(),
                            bias == nullptr ? nullptr : bias->data(), N, E, K, routing.options);
  for (std::int64_t n = 0; n < N; ++n) {
    const T* row = routing.logits.data() + n * E;
    const std::vector<T> scores = reference::router_scores(row, E, routing.options);
    std::vector<double> keys;
    for (std::size_t e = 0; e < scores.size(); ++e)
      keys.push_back(std::real(routing.options.softmax_after_top_k ? row[e] : scores[e]) +
                     (bias == nullptr ? 0.0 : (*bias)[e]));
    result.margin = std::min(result.margin, choice_margin(keys, K, routing.options));
  }
  result.load.assign(static_cast<std::size_t>(E), 0);
  for (const std::int32_t e : routing.chosen) ++result.load[static_cast<std::size_t>(e)];
  for (const T& p : routing.probability)
    if (std::real(p) > 0) result.entropy -= std::real(p) * std::log(std::real(p)) / static_cast<double>(N);
  routing.kept = routing.chosen;
  result.margin = std::min(result.margin, drop_beyond_capacity(moe, routing, N));
  result.dropped = std::count(routing.kept.begin(), routing.kept.end(), -1);

  std::vector<std::int32_t> count(static_cast<std::size_t>(E));
  routing.row_of_slot.assign(routing.kept.size(), -1);
  routing.slot_of_row.assign(routing.kept.size(), -1);
  reference::sort_slots(count.data(), routing.row_of_slot.data(), routing.slot_of_row.data(),
                        routing.kept.data(), N, K, E);
  routing.rows = N * K - result.dropped;
  routing.segments.clear();
  std::int32_t begin = 0;
  for (std::int32_t e = 0; e < E; ++e) {
    const std::int32_t rows = count[static_cast<std::size_t>(e)];
    routing.segments.insert(routing.segments.end(), {e, begin, rows});
    begin += rows;
  }
  return balancing_losses(moe, B, Tq, routing, result);
}

}  // namespace switchyard::test
