// The model families of Hugging Face that our model can be: how each spells its keys and tensors, and which
// of our switches it implies. Facts as of the configuration and modelling files of transformers 5.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "moe/model/config.h"

namespace switchyard::app {

enum class Family : std::uint8_t { mixtral, olmoe, qwen2_moe, qwen3_moe, llama, mistral, qwen2, qwen3 };

/// Which projections of attention carry biases, and what says so.
enum class BiasRule : std::uint8_t {
  none,           ///< never
  all_by_key,     ///< query, key, value and output if `attention_bias` (default false)
  inputs_by_key,  ///< query, key and value if `qkv_bias` (default true)
  inputs_always,  ///< query, key and value
};

struct FamilyTraits {
  Family family = Family::mixtral;
  std::string_view model_type;    ///< of config.json
  std::string_view architecture;  ///< of config.json
  moe::QkNorm qk_norm = moe::QkNorm::none;
  BiasRule biases = BiasRule::none;

  // Of families with experts; the keys are empty for dense ones.
  std::string_view experts_key = {};
  std::string_view expert_width_key = {};
  std::string_view moe_module = {};       ///< "block_sparse_moe" or "mlp"
  std::string_view gate_up_down[3] = {};  ///< of one expert: "w1", "w3", "w2"
  bool always_renormalizes =
      false;                       ///< no norm_topk_prob key: chosen weights are always divided by their sum
  bool has_dense_layers = false;   ///< decoder_sparse_step, mlp_only_layers
  bool has_shared_expert = false;  ///< one, gated by a sigmoid

  // What transformers takes for a key that config.json does not have.
  std::int64_t default_kv_heads = 0;  ///< 0 = as many as heads
  std::int64_t default_head_dim = 0;  ///< 0 = width / heads
  std::int64_t default_top_k = 0;
  std::int64_t default_positions = 0;
  double default_epsilon = 1e-6;
  double default_theta = 1e4;
  double default_aux_coefficient = 0;

  bool has_experts() const { return !experts_key.empty(); }
};

std::span<const FamilyTraits> families();
const FamilyTraits& traits_of(Family family);
/// By model_type ("qwen3_moe"); null for one we do not have.
const FamilyTraits* find_family(std::string_view model_type);

}  // namespace switchyard::app
