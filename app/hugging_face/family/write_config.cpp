#include "app/hugging_face/family/write_config.h"

#include "app/hugging_face/family/aux_loss.h"
#include "app/hugging_face/family/dense_layers.h"
#include "app/hugging_face/family/read_rope.h"
#include "app/hugging_face/family/windows.h"

namespace switchyard::app {

namespace {

using nlohmann::ordered_json;

void write_attention(ordered_json& config, const FamilyTraits& family, const moe::ModelConfig& model) {
  config["num_attention_heads"] = model.heads;
  config["num_key_value_heads"] = model.kv_heads;
  // OLMoE fixes it at width / heads and has no key for it.
  if (family.family != Family::olmoe) config["head_dim"] = moe::head_width(model);
  if (family.biases == BiasRule::all_by_key) config["attention_bias"] = model.attention_bias;
  if (family.biases == BiasRule::inputs_by_key) config["qkv_bias"] = model.attention_bias;
  if (family.family == Family::llama) config["mlp_bias"] = false;
  if (family.family == Family::olmoe) config["clip_qkv"] = nullptr;
  if (model.clip_qkv > 0) config["clip_qkv"] = model.clip_qkv;
  config["attention_dropout"] = 0.0;
  config["max_position_embeddings"] = model.max_sequence_length;
  config["rope_theta"] = model.rope_theta;
  if (model.rope_scaling.kind != kernels::RopeScalingKind::none)
    config["rope_scaling"] = rope_description(model.rope_scaling);
  write_windows(config, family, model);
}

void write_experts(ordered_json& config, const FamilyTraits& family, const moe::ModelConfig& model) {
  const moe::MoeConfig& moe = model.moe;
  config[std::string(family.experts_key)] = moe.experts;
  config["num_experts_per_tok"] = moe.top_k;
  for (std::int64_t l = model.layers; l-- > 0;)
    if (moe::is_moe_layer(model, l))
      config[std::string(family.expert_width_key)] = moe::expert_width(model, l);
  if (!family.always_renormalizes)  // weights of a softmax over the chosen sum to 1 already
    config["norm_topk_prob"] = moe.renormalize || moe.softmax_order == moe::SoftmaxOrder::after_top_k;
  if (family.has_shared_expert)
    for (std::int64_t l = model.layers; l-- > 0;)
      if (moe::is_moe_layer(model, l))
        config["shared_expert_intermediate_size"] = moe::shared_width(model, l);
  if (family.has_dense_layers) {
    const DenseLayers layers = from_our_rule(model);
    config["decoder_sparse_step"] = layers.step;
    config["mlp_only_layers"] = layers.dense;
  }
  config["output_router_logits"] = false;
  config["router_aux_loss_coef"] = their_aux_loss(model);
  if (family.family == Family::mixtral) config["router_jitter_noise"] = 0.0;
}

ordered_json end_of_document(const ConfigFacts& facts) {
  return facts.end_of_document ? ordered_json(*facts.end_of_document) : ordered_json(nullptr);
}

}  // namespace

ordered_json model_description(const FamilyTraits& family, const moe::ModelConfig& model,
                               const ConfigFacts& facts) {
  ordered_json config;
  config["architectures"] = {family.architecture};
  config["model_type"] = family.model_type;
  config["torch_dtype"] = facts.dtype;
  config["vocab_size"] = facts.vocabulary;
  config["hidden_size"] = model.width;
  config["num_hidden_layers"] = model.layers;
  if (family.expert_width_key != "intermediate_size") config["intermediate_size"] = moe::dense_width(model);
  config["hidden_act"] = "silu";
  config["rms_norm_eps"] = model.norm_epsilon;
  config["tie_word_embeddings"] = model.tied_head;
  write_attention(config, family, model);
  if (family.has_experts()) write_experts(config, family, model);
  config["initializer_range"] = model.init_std;
  config["use_cache"] = true;
  config["bos_token_id"] = end_of_document(facts);
  config["eos_token_id"] = end_of_document(facts);
  config["pad_token_id"] = nullptr;  // a class default would mark a row of the embedding as padding
  return config;
}

ordered_json generation_description(const ConfigFacts& facts) {
  const ordered_json id = end_of_document(facts);
  return {{"bos_token_id", id}, {"eos_token_id", id}, {"pad_token_id", id}};
}

}  // namespace switchyard::app
