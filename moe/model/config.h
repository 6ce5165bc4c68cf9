// What a model is: every switch that changes its numbers or its shapes, and what it keeps while it trains.
// Filled by app/config, read by all of moe.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops/rope_scaling.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::moe {

enum class QkNorm : std::uint8_t { none, per_head, full_width };
enum class RouterScore : std::uint8_t { softmax, sigmoid };
/// Where softmax stands: over all experts before the choice, or over the chosen ones after it.
enum class SoftmaxOrder : std::uint8_t { before_top_k, after_top_k };
enum class DropPolicy : std::uint8_t { probability, position };
/// Whose counts and probabilities the Switch loss of a micro-batch multiplies: those of each layer, or their
/// sums over all layers (what the released models were trained with).
enum class AuxLossOver : std::uint8_t { layer, all_layers };

enum class Recompute : std::uint8_t {
  none,   ///< keep what the backward pass reads
  block,  ///< keep each block's input and its routing decision, and compute the rest again
};

struct MoeConfig {
  std::int64_t experts = 0;  ///< E; 0 makes every layer dense
  std::int64_t top_k = 2;    ///< K
  /// F of each layer: one value for all layers, or one per layer (`layers` values).
  std::vector<std::int64_t> expert_width = {0};
  std::int64_t first_dense_layers = 0;  ///< the first n layers have a dense MLP
  std::int64_t every = 1;               ///< of the layers after those, each n-th (the last of each n) is MoE
  /// Layers (from 0) that have a dense MLP although `first_dense_layers` and `every` give them experts.
  std::vector<std::int64_t> dense_layers = {};
  std::int64_t shared_experts = 0;  ///< number of always-on experts, computed as one of n times the width
  std::int64_t shared_expert_width = 0;  ///< width of one shared expert; 0 = expert_width
  bool shared_expert_gate = false;       ///< multiply the shared output by sigmoid(x . w)

  RouterScore score = RouterScore::softmax;
  SoftmaxOrder softmax_order = SoftmaxOrder::before_top_k;
  bool renormalize =
      true;  ///< divide the chosen weights by their sum (not for K = 1 with sigmoid, where it is always 1)
  double scaling_factor = 1.0;   ///< multiplies the weights last
  std::int64_t groups = 1;       ///< equal contiguous groups of experts
  std::int64_t group_top_k = 1;  ///< groups that stay eligible per token

  bool bias_balancing = false;     ///< aux-loss-free balancing: a selection bias per expert
  double bias_update_rate = 1e-3;  ///< u in b += u * sign(mean count - count)
  double aux_loss = 0.0;           ///< alpha of the Switch loss over a micro-batch
  AuxLossOver aux_loss_over = AuxLossOver::layer;
  double sequence_aux_loss = 0.0;  ///< alpha of the Switch loss over each sequence
  double z_loss = 0.0;             ///< coefficient of mean logsumexp(logits)^2
  double capacity_factor =
      0.0;  ///< 0 = dropless; else an expert keeps ceil(N * K / E * factor) rows of a micro-batch
  DropPolicy drop_policy = DropPolicy::probability;
};

struct ModelConfig {
  /// A: what activations and the weights of embedding, head and products are stored in, f32 or bf16. Routers,
  /// gates, norms, biases, statistics, softmax and loss are f32 whatever it is.
  DType activation = DType::f32;
  std::int64_t vocab_size = 257;  ///< V, set from the data
  std::int64_t layers = 6;        ///< L
  std::int64_t width = 256;       ///< C
  std::int64_t heads = 4;         ///< H
  std::int64_t kv_heads = 4;      ///< G
  std::int64_t head_width = 0;    ///< D; 0 = width / heads
  std::int64_t mlp_width = 0;     ///< width of dense MLPs; 0 = 8/3 * width, rounded up to a multiple of 32
  std::int64_t max_sequence_length = 0;  ///< longest T that RoPE tables cover; 0 = data.sequence_length
  double rope_theta = 10000.0;
  kernels::RopeScaling rope_scaling;
  /// How many of the newest tokens, itself included, a query sees: one value for all layers, or one per
  /// layer; 0 = all tokens.
  std::vector<std::int64_t> sliding_window = {0};
  double clip_qkv = 0.0;  ///< queries, keys and values stay within +- this, before rotation; 0 = no limit
  double norm_epsilon = 1e-5;
  QkNorm qk_norm = QkNorm::none;
  bool attention_bias = false;         ///< biases on the q, k and v projections
  bool attention_output_bias = false;  ///< a bias on the projection back
  bool tied_head = false;              ///< the output head is the embedding
  double init_std = 0.02;              ///< residual projections use init_std / sqrt(2 L)
  MoeConfig moe;
};

/// Whether `layer` (from 0) holds experts.
bool is_moe_layer(const ModelConfig& config, std::int64_t layer);
/// Number of layers that hold experts.
std::int64_t moe_layer_count(const ModelConfig& config);
/// Keys that a query of `layer` sees at most; 0 = all.
std::int64_t sliding_window(const ModelConfig& config, std::int64_t layer);
/// F of an MoE layer.
std::int64_t expert_width(const ModelConfig& config, std::int64_t layer);
/// Width of the dense MLP after defaults.
std::int64_t dense_width(const ModelConfig& config);
/// Total width of the shared experts of `layer` after defaults; 0 without any.
std::int64_t shared_width(const ModelConfig& config, std::int64_t layer);
/// D after defaults.
std::int64_t head_width(const ModelConfig& config);

}  // namespace switchyard::moe
