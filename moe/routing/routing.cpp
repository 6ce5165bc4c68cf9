#include "moe/routing/routing.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/permute.h"
#include "kernels/ops/router.h"
#include "moe/broken/broken_rules.h"
#include "moe/layers/placement.h"
#include "moe/layers/wide_linear.h"

namespace switchyard::moe {

namespace {

kernels::RouterOptions router_options(const MoeConfig& config, std::int64_t N) {
  kernels::RouterOptions options;
  options.sigmoid = config.score == RouterScore::sigmoid;
  options.softmax_after_top_k = config.softmax_order == SoftmaxOrder::after_top_k;
  options.renormalize = config.renormalize;
  options.scaling_factor = static_cast<float>(config.scaling_factor);
  options.groups = static_cast<std::int32_t>(config.groups);
  options.group_top_k = static_cast<std::int32_t>(config.group_top_k);
  options.z_coefficient = N == 0 ? 0.0F : static_cast<float>(config.z_loss / static_cast<double>(N));
  return options;
}

// d (Switch loss) / d p of any row of sequence s, for expert i: the two coefficients times the counts.
struct BalanceFactors {
  double unit;      // multiplies the unit's count
  double sequence;  // multiplies the sequence's count
};

BalanceFactors balance_factors(const ModelConfig& model, const UnitShape& unit) {
  const MoeConfig& config = model.moe;
  if (unit.N() == 0) return {0, 0};
  const auto N = static_cast<double>(unit.N()), T = static_cast<double>(unit.T),
             B = static_cast<double>(unit.B);
  const double ratio = static_cast<double>(config.experts) / static_cast<double>(config.top_k);
  const double layers =
      config.aux_loss_over == AuxLossOver::all_layers ? static_cast<double>(moe_layer_count(model)) : 1.0;
  return {config.aux_loss * ratio / (N * N * layers * layers),
          config.sequence_aux_loss * ratio / (T * T) / B};
}

std::int64_t count_at(const TensorView& counts, std::int64_t s, std::int64_t expert) {
  return counts.data<std::int64_t>()[s * counts.dim(1) + expert];
}

std::int64_t unit_count(const TensorView& counts, std::int64_t expert) {
  std::int64_t total = 0;
  for (std::int64_t s = 0; s < counts.dim(0); ++s) total += count_at(counts, s, expert);
  return total;
}

// Values of the balancing losses, in one fixed order.
void balance_losses(const ModelConfig& config, const UnitShape& unit, const Routing& routing,
                    const double* probability_sum, RoutingStatistics& statistics) {
  const BalanceFactors factors = balance_factors(config, unit);
  const TensorView& top_count = routing.top_count;
  const std::int64_t S = top_count.dim(0), E = config.moe.experts;
  for (std::int64_t i = 0; i < E; ++i) {
    double unit_probability = 0;
    for (std::int64_t s = 0; s < S; ++s) {
      const double p = probability_sum[s * E + i];
      unit_probability += p;
      statistics.sequence_aux_loss += factors.sequence * static_cast<double>(count_at(top_count, s, i)) * p;
    }
    if (routing.probability_sum.present())
      routing.probability_sum.data<double>()[i] = unit_probability;
    else
      statistics.aux_loss += factors.unit * static_cast<double>(unit_count(top_count, i)) * unit_probability;
  }
}

void take_statistics(LayerContext& layer, const Routing& routing, RoutingStatistics& statistics) {
  const MoeConfig& config = layer.config.moe;
  const std::int64_t N = layer.unit.N(), E = config.experts, S = routing.top_count.dim(0);
  kernels::ArenaScope scratch(layer.activations);
  const TensorView probability_sum = layer.host.tensor(DType::f64, {S, E});
  const TensorView load = layer.host.tensor(DType::i64, {E});
  const TensorView row_sums = layer.host.tensor(DType::f64, {2});
  Fetched sums(layer, probability_sum), counts(layer, routing.top_count), loads(layer, load),
      rows(layer, row_sums);
  kernels::router_statistics(layer.kernels, sums.written(), counts.written(), loads.written(), rows.written(),
                             routing.probability, routing.lse, routing.expert);
  for (Fetched* one : {&sums, &counts, &loads, &rows}) one->fetch();
  statistics = {};
  statistics.load.assign(load.data<std::int64_t>(), load.data<std::int64_t>() + E);
  if (N == 0) return;
  statistics.entropy = row_sums.data<double>()[0] / static_cast<double>(N);
  statistics.z_loss = config.z_loss * row_sums.data<double>()[1] / static_cast<double>(N);
  balance_losses(layer.config, layer.unit, routing, probability_sum.data<double>(), statistics);
}

}  // namespace

std::int64_t expert_capacity(const MoeConfig& config, std::int64_t N) {
  if (config.capacity_factor <= 0) return 0;
  const double fair = static_cast<double>(N * config.top_k) / static_cast<double>(config.experts);
  return static_cast<std::int64_t>(std::ceil(fair * config.capacity_factor));
}

Routing route(LayerContext& layer, ConstTensorView x, ConstTensorView router_weight, ConstTensorView bias,
              RoutingStatistics& statistics) {
  const MoeConfig& config = layer.config.moe;
  const std::int64_t N = layer.unit.N(), E = config.experts, K = config.top_k;
  kernels::Arena& arena = layer.activations;
  Routing routing;
  routing.logits = arena.tensor(DType::f32, {N, E});
  routing.probability = arena.tensor(DType::f32, {N, E});
  routing.lse = arena.tensor(DType::f32, {N});
  routing.expert = arena.tensor(DType::i32, {N, K});
  routing.weight = arena.tensor(DType::f32, {N, K});
  routing.count = layer.host.tensor(DType::i32, {E});
  routing.row_of_slot = arena.tensor(DType::i32, {N, K});
  routing.slot_of_row = arena.tensor(DType::i32, {N * K});
  routing.top_count = layer.host.tensor(DType::i64, {std::max<std::int64_t>(layer.unit.B, 1), E});
  if (config.aux_loss_over == AuxLossOver::all_layers)
    routing.probability_sum = layer.host.tensor(DType::f64, {E});

  wide_linear_forward(layer, routing.logits, x, router_weight);
  kernels::router_forward(layer.kernels, routing.expert, routing.weight, routing.probability, routing.lse,
                          routing.logits, bias, router_options(config, N));
  if (layer.kernels.breakage().rule == kernels::BrokenRule::tie_by_rank)
    broken::choose_ties_by_rank(layer.kernels, routing.expert, routing.probability);
  // Before drops: balancing answers to what the router wants, not to what fitted.
  take_statistics(layer, routing, statistics);
  // Drops work on a copy: the gradient needs the choice, since a dropped score still divides the others.
  kernels::ArenaScope scratch(arena);
  const TensorView kept = scratch.tensor(DType::i32, {N, K});
  kernels::copy(layer.kernels, kept, routing.expert);
  const std::int64_t capacity = expert_capacity(config, N);
  if (capacity > 0 && capacity < N)
    kernels::router_drop(layer.kernels, kept, routing.weight, E, capacity,
                         config.drop_policy == DropPolicy::probability);
  Fetched count(layer, routing.count);
  kernels::sort_slots(layer.kernels, count.written(), routing.row_of_slot, routing.slot_of_row, kept);
  count.fetch();
  for (std::int64_t i = 0; i < E; ++i) routing.rows += routing.count.data<std::int32_t>()[i];
  statistics.dropped = N * K - routing.rows;
  return routing;
}

void balance_over_layers(LayerContext& layer, const std::vector<Routing*>& routings,
                         std::vector<RoutingStatistics>& statistics) {
  const std::int64_t E = layer.config.moe.experts;
  const double factor = balance_factors(layer.config, layer.unit).unit;
  const TensorView counts = layer.host.tensor(DType::i64, {E});
  for (std::int64_t i = 0; i < E; ++i) {
    std::int64_t& count = counts.data<std::int64_t>()[i];
    count = 0;
    for (const Routing* routing : routings) count += unit_count(routing->top_count, i);
  }
  for (std::size_t m = 0; m < routings.size(); ++m) {
    routings[m]->layers_count = counts;
    if (layer.unit.N() == 0) continue;
    statistics[m].aux_loss = 0;
    for (std::int64_t i = 0; i < E; ++i)
      statistics[m].aux_loss += factor * static_cast<double>(counts.data<std::int64_t>()[i]) *
                                routings[m]->probability_sum.data<double>()[i];
  }
}

void route_backward(LayerContext& layer, TensorView dlogits, ConstTensorView dweight,
                    const Routing& routing) {
  const MoeConfig& config = layer.config.moe;
  const std::int64_t N = layer.unit.N(), E = config.experts, S = routing.top_count.dim(0);
  kernels::ArenaScope scratch(layer.activations);
  ConstTensorView dprobability;
  if (config.aux_loss != 0 || config.sequence_aux_loss != 0) {
    const TensorView values = layer.host.tensor(DType::f32, {S, E});
    const BalanceFactors factors = balance_factors(layer.config, layer.unit);
    for (std::int64_t i = 0; i < E; ++i) {
      const std::int64_t count = routing.layers_count.present() ? routing.layers_count.data<std::int64_t>()[i]
                                                                : unit_count(routing.top_count, i);
      const double of_unit = factors.unit * static_cast<double>(count);
      for (std::int64_t s = 0; s < S; ++s)
        values.data<float>()[s * E + i] = static_cast<float>(
            of_unit + factors.sequence * static_cast<double>(count_at(routing.top_count, s, i)));
    }
    dprobability = placed(layer, values);
  }
  kernels::router_backward(layer.kernels, dlogits, dweight, dprobability, routing.expert, routing.weight,
                           routing.probability, routing.lse, routing.logits, router_options(config, N));
}

void update_balancing_bias(TensorView bias, const std::vector<std::int64_t>& load, double rate) {
  std::int64_t total = 0;
  for (const std::int64_t count : load) total += count;
  const auto experts = static_cast<std::int64_t>(load.size());
  auto* values = bias.data<float>();
  for (std::int64_t i = 0; i < experts; ++i) {
    // Compared as integers (total / E against the count), so that no rounding decides the sign.
    const std::int64_t difference = total - load[static_cast<std::size_t>(i)] * experts;
    if (difference > 0) values[i] += static_cast<float>(rate);
    if (difference < 0) values[i] -= static_cast<float>(rate);
  }
}

}  // namespace switchyard::moe
