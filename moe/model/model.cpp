#include "moe/model/model.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/ops/embedding.h"
#include "kernels/ops/rope.h"
#include "kernels/runtime/host_values.h"
#include "moe/layers/placement.h"

namespace switchyard::moe {

namespace {

// Greatest number of blocks that one step adds to an element: every unit brings its rows in blocks; qk-norm
// per head sees each row once per head; a tied head and embedding add to the same element.
std::int64_t gradient_additions(const ModelConfig& config, const ModelLimits& limits) {
  const std::int64_t rows = limits.rows_per_unit * std::max<std::int64_t>(config.heads, 1);
  const std::int64_t blocks = (rows + kernels::kGradientBlockRows - 1) / kernels::kGradientBlockRows;
  return 2 * std::max<std::int64_t>(blocks, 1) * std::max<std::int64_t>(limits.units_per_step, 1);
}

std::vector<std::int64_t> moe_layers_of(const ModelConfig& config) {
  std::vector<std::int64_t> layers;
  for (std::int64_t l = 0; l < config.layers; ++l)
    if (is_moe_layer(config, l)) layers.push_back(l);
  return layers;
}

}  // namespace

Model::Model(kernels::Context& context, const ModelConfig& config, parallel::Mesh& mesh,
             const ModelLimits& limits, std::uint64_t seed)
    : context_(context),
      config_(config),
      decode_config_(config),
      limits_(limits),
      dense_(parameter_specs(config), false, 0, 1, mesh.data(), gradient_additions(config, limits),
             config.activation, context),
      experts_(parameter_specs(config), true, mesh.expert_coordinate(), mesh.layout().expert_axis(),
               mesh.replicas(), gradient_additions(config, limits), config.activation, context),
      moe_layers_(moe_layers_of(config)),
      rope_cosine_(DType::f32, {limits.max_positions, head_width(config) / 2}, context.device()),
      rope_sine_(DType::f32, {limits.max_positions, head_width(config) / 2}, context.device()),
      activations_(context.queue()) {
  decode_config_.moe.capacity_factor = 0;
  kernels::HostEdit cosine(context, rope_cosine_), sine(context, rope_sine_);
  kernels::rope_tables(cosine.view(), sine.view(), config.rope_theta, config.rope_scaling);
  cosine.finish();
  sine.finish();
  initialize(context, dense_, config_, seed);
  initialize(context, experts_, config_, seed);
  if (config_.moe.bias_balancing)
    for (std::size_t m = 0; m < moe_layers_.size(); ++m)
      balancing_.emplace_back(DType::f32, Shape{config_.moe.experts}, context.device());
  for (std::int64_t l = 0; l < config_.layers; ++l) blocks_.push_back(block_parameters(l));
  embedding_ = find("embedding.weight");
  head_ = {find("final_norm.weight"), config_.tied_head ? embedding_ : find("head.weight")};
  // A dense model never uses it; one expert keeps it well formed.
  exchange_ = std::make_unique<parallel::RowExchange>(
      mesh.expert(), std::max<std::int64_t>(config_.moe.experts, 1), limits.exchange_rows);
}

const Parameter* Model::find(const std::string& name) {
  return dense_.holds(name) ? &dense_.find(name) : &experts_.find(name);
}

BlockParameters Model::block_parameters(std::int64_t l) {
  const std::string layer = fmt::format("layers.{}.", l);
  BlockParameters block;
  AttentionParameters& attention = block.attention;
  attention.norm = find(layer + "attention_norm.weight");
  attention.q = find(layer + "attention.q.weight");
  attention.k = find(layer + "attention.k.weight");
  attention.v = find(layer + "attention.v.weight");
  if (config_.attention_bias) {
    attention.q_bias = find(layer + "attention.q.bias");
    attention.k_bias = find(layer + "attention.k.bias");
    attention.v_bias = find(layer + "attention.v.bias");
  }
  if (config_.qk_norm != QkNorm::none) {
    attention.q_norm = find(layer + "attention.q_norm.weight");
    attention.k_norm = find(layer + "attention.k_norm.weight");
  }
  attention.output = find(layer + "attention.output.weight");
  if (config_.attention_output_bias) attention.output_bias = find(layer + "attention.output.bias");
  attention.window = sliding_window(config_, l);
  block.mlp_norm = find(layer + "mlp_norm.weight");
  block.is_moe = is_moe_layer(config_, l);
  if (!block.is_moe) {
    block.mlp = {find(layer + "mlp.gate_up.weight"), find(layer + "mlp.down.weight")};
    return block;
  }
  block.moe.router = find(layer + "moe.router.weight");
  block.moe.experts = {find(layer + "moe.experts.gate_up.weight"), find(layer + "moe.experts.down.weight")};
  if (config_.moe.shared_experts > 0) {
    block.moe.shared = {find(layer + "moe.shared.gate_up.weight"), find(layer + "moe.shared.down.weight")};
    if (config_.moe.shared_expert_gate) block.moe.shared_gate = find(layer + "moe.shared_gate.weight");
  }
  if (!balancing_.empty()) {
    const auto index = std::find(moe_layers_.begin(), moe_layers_.end(), l) - moe_layers_.begin();
    block.balancing_bias = balancing_[static_cast<std::size_t>(index)];
  }
  return block;
}

LayerContext Model::layer_context(kernels::Context& context, UnitShape unit) {
  kernels::Arena& host = context.device() == Device::cpu ? activations_ : host_activations_;
  return {context, activations_, host, config_, unit, rope_cosine_, rope_sine_};
}

std::vector<TensorView> Model::balancing_biases() const {
  return {balancing_.begin(), balancing_.end()};
}

void Model::clear_gradients() {
  dense_.sums().zero();
  experts_.sums().zero();
}

void Model::use_state(kernels::Context& context) {
  dense_.round_masters(context);
  experts_.round_masters(context);
}

TensorView Model::embed(LayerContext& layer, const UnitInput& input) {
  const std::int64_t N = layer.unit.N();
  const TensorView x = layer.activations.tensor(layer.A(), {N, config_.width});
  kernels::embedding_forward(layer.kernels, x, input.tokens.reshaped({N}), embedding_->weight);
  layer.kernels.place().computed(kernels::Site::embedding, x);
  return x;
}

TensorView Model::forward_blocks(LayerContext& layer, TensorView x, std::vector<BlockSaved>& saved,
                                 UnitResult& result, Recompute recompute) {
  for (std::size_t l = 0; l < blocks_.size(); ++l) {
    layer.kernels.place().enter_layer(static_cast<std::int64_t>(l));
    const TensorView y = layer.activations.tensor(layer.A(), x.shape());
    RoutingStatistics statistics;
    block_forward(layer, *exchange_, blocks_[l], y, x, saved[l], statistics, recompute);
    if (blocks_[l].is_moe) result.routing.push_back(std::move(statistics));
    x = y;
  }
  if (config_.moe.aux_loss_over == AuxLossOver::all_layers) {
    std::vector<Routing*> routings;
    for (const std::int64_t l : moe_layers_) routings.push_back(&saved[static_cast<std::size_t>(l)].routing);
    balance_over_layers(layer, routings, result.routing);
  }
  return x;
}

// All ranks go through the layers in the same order, so they start the same ranges in the same order.
void Model::start_sums(std::int64_t layer) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  for (ParameterGroup* group : {&dense_, &experts_}) {
    const auto [first, last] = group->range(prefix);
    group->sums().start(first, last);
    group->sums().poll();
  }
}

UnitResult Model::train_unit(kernels::Context& context, const UnitInput& given, Recompute recompute,
                             bool last) {
  LayerContext layer = layer_context(context, {given.tokens.dim(0), given.tokens.dim(1)});
  kernels::ArenaScope scope(activations_), host_scope(host_activations_);
  const UnitInput input = {placed(layer, given.tokens), placed(layer, given.targets)};
  UnitResult result;
  std::vector<BlockSaved> saved(blocks_.size());
  kernels::PlaceTracker& place = context.place();
  place.enter(kernels::Phase::forward);
  const TensorView x = forward_blocks(layer, embed(layer, input), saved, result, recompute);
  place.enter(kernels::Phase::backward);
  const TensorView dx = scope.tensor(layer.A(), x.shape());
  result.loss = head_loss_and_gradient(layer, head_, dx, x, input.targets.reshaped({layer.unit.N()}));
  place.computed(kernels::Site::loss, result.loss);
  place.computed(kernels::Site::head_gradient, dx);
  for (std::size_t l = blocks_.size(); l-- > 0;) {
    place.enter_layer(static_cast<std::int64_t>(l));
    block_backward(layer, *exchange_, blocks_[l], dx, dx, saved[l], recompute);
    if (last) start_sums(static_cast<std::int64_t>(l));
  }
  place.computed(kernels::Site::embedding_gradient, dx);
  kernels::embedding_backward(context, embedding_->gradient, dx, input.tokens.reshaped({layer.unit.N()}));
  return result;
}

UnitResult Model::evaluate_unit(kernels::Context& context, const UnitInput& given) {
  LayerContext layer = layer_context(context, {given.tokens.dim(0), given.tokens.dim(1)});
  kernels::ArenaScope scope(activations_), host_scope(host_activations_);
  const UnitInput input = {placed(layer, given.tokens), placed(layer, given.targets)};
  UnitResult result;
  std::vector<BlockSaved> saved(blocks_.size());
  const TensorView x = forward_blocks(layer, embed(layer, input), saved, result, Recompute::block);
  result.loss = head_loss(layer, head_, x, input.targets.reshaped({layer.unit.N()}));
  return result;
}

void Model::decode(kernels::Context& context, TensorView logits, ConstTensorView tokens,
                   std::vector<KvCache>& cache) {
  const std::int64_t T = tokens.dim(0);
  kernels::Arena& host = context.device() == Device::cpu ? activations_ : host_activations_;
  LayerContext layer = {context, activations_, host, decode_config_, {1, T}, rope_cosine_, rope_sine_};
  kernels::ArenaScope scope(activations_), host_scope(host_activations_);
  TensorView x = embed(layer, {placed(layer, tokens), {}});
  for (std::size_t l = 0; l < blocks_.size(); ++l) {
    const TensorView y = scope.tensor(layer.A(), x.shape());
    BlockSaved saved;
    RoutingStatistics statistics;
    block_forward(layer, *exchange_, blocks_[l], y, x, saved, statistics, Recompute::none, &cache[l]);
    x = y;
  }
  Fetched last(layer, logits.reshaped({1, config_.vocab_size}));
  head_logits(layer, head_, last.written(), x.rows(T - 1, 1));
  last.fetch();
}

}  // namespace switchyard::moe
