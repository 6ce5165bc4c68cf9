#include "app/hugging_face/family/family.h"

#include <algorithm>

#include "kernels/runtime/check.h"

namespace switchyard::app {

namespace {

using moe::QkNorm;

constexpr FamilyTraits kFamilies[] = {
    {.family = Family::mixtral,
     .model_type = "mixtral",
     .architecture = "MixtralForCausalLM",
     .experts_key = "num_local_experts",
     .expert_width_key = "intermediate_size",
     .moe_module = "block_sparse_moe",
     .gate_up_down = {"w1", "w3", "w2"},
     .always_renormalizes = true,
     .default_kv_heads = 8,
     .default_top_k = 2,
     .default_positions = 131072,
     .default_epsilon = 1e-5,
     .default_theta = 1e6,
     .default_aux_coefficient = 0.001},
    {.family = Family::olmoe,
     .model_type = "olmoe",
     .architecture = "OlmoeForCausalLM",
     .qk_norm = QkNorm::full_width,
     .biases = BiasRule::all_by_key,
     .experts_key = "num_experts",
     .expert_width_key = "intermediate_size",
     .moe_module = "mlp",
     .gate_up_down = {"gate_proj", "up_proj", "down_proj"},
     .default_top_k = 8,
     .default_positions = 4096,
     .default_epsilon = 1e-5,
     .default_aux_coefficient = 0.01},
    {.family = Family::qwen2_moe,
     .model_type = "qwen2_moe",
     .architecture = "Qwen2MoeForCausalLM",
     .biases = BiasRule::inputs_by_key,
     .experts_key = "num_experts",
     .expert_width_key = "moe_intermediate_size",
     .moe_module = "mlp",
     .gate_up_down = {"gate_proj", "up_proj", "down_proj"},
     .has_dense_layers = true,
     .has_shared_expert = true,
     .default_kv_heads = 16,
     .default_top_k = 4,
     .default_positions = 32768,
     .default_aux_coefficient = 0.001},
    {.family = Family::qwen3_moe,
     .model_type = "qwen3_moe",
     .architecture = "Qwen3MoeForCausalLM",
     .qk_norm = QkNorm::per_head,
     .biases = BiasRule::all_by_key,
     .experts_key = "num_experts",
     .expert_width_key = "moe_intermediate_size",
     .moe_module = "mlp",
     .gate_up_down = {"gate_proj", "up_proj", "down_proj"},
     .has_dense_layers = true,
     .default_kv_heads = 4,
     .default_top_k = 8,
     .default_positions = 32768,
     .default_aux_coefficient = 0.001},
    {.family = Family::llama,
     .model_type = "llama",
     .architecture = "LlamaForCausalLM",
     .biases = BiasRule::all_by_key,
     .default_positions = 2048},
    {.family = Family::mistral,
     .model_type = "mistral",
     .architecture = "MistralForCausalLM",
     .default_kv_heads = 8,
     .default_positions = 131072},
    {.family = Family::qwen2,
     .model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .biases = BiasRule::inputs_always,
     .default_kv_heads = 32,
     .default_positions = 32768},
    {.family = Family::qwen3,
     .model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .qk_norm = QkNorm::per_head,
     .biases = BiasRule::all_by_key,
     .default_kv_heads = 32,
     .default_head_dim = 128,
     .default_positions = 32768},
};

}  // namespace

std::span<const FamilyTraits> families() {
  return kFamilies;
}

const FamilyTraits& traits_of(Family family) {
  const auto found = std::ranges::find(kFamilies, family, &FamilyTraits::family);
  SWITCHYARD_CHECK(found != std::ranges::end(kFamilies), "family {} is not in the table",
                   static_cast<int>(family));
  return *found;
}

const FamilyTraits* find_family(std::string_view model_type) {
  const auto found = std::ranges::find(kFamilies, model_type, &FamilyTraits::model_type);
  return found == std::ranges::end(kFamilies) ? nullptr : &*found;
}

}  // namespace switchyard::app
