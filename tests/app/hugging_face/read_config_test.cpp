#include "app/hugging_face/family/read_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/folders.h"

namespace switchyard::app {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json config_of(Family family) {
  return test::written_config(traits_of(family));
}

std::string refusal(const json& config) {
  try {
    read_model_description(config, "there/config.json");
  } catch (const DataError& error) {
    return error.what();
  }
  return {};
}

TEST(ReadConfig, WhatTransformersWritesLeavesNoKeyUnknown) {
  for (const FamilyTraits& family : families())
    EXPECT_THAT(read_model_description(test::written_config(family), "config.json").unknown_keys,
                testing::IsEmpty())
        << family.model_type;
}

TEST(ReadConfig, Mixtral) {
  const ModelDescription description = read_model_description(config_of(Family::mixtral), "config.json");
  const moe::ModelConfig& model = description.model;
  EXPECT_EQ(description.family, Family::mixtral);
  EXPECT_EQ(description.dtype, "float32");
  EXPECT_EQ(description.end_of_document, 0);
  EXPECT_EQ(model.vocab_size, 96);
  EXPECT_EQ(model.width, 32);
  EXPECT_EQ(model.layers, 2);
  EXPECT_EQ(model.heads, 4);
  EXPECT_EQ(model.kv_heads, 2);
  EXPECT_EQ(moe::head_width(model), 8);
  EXPECT_EQ(model.max_sequence_length, 64);
  EXPECT_EQ(model.rope_theta, 1e6);
  EXPECT_EQ(model.norm_epsilon, 1e-5);
  EXPECT_EQ(model.qk_norm, moe::QkNorm::none);
  EXPECT_FALSE(model.attention_bias);
  EXPECT_FALSE(model.tied_head);
  EXPECT_EQ(model.moe.experts, 4);
  EXPECT_EQ(model.moe.top_k, 2);
  EXPECT_EQ(model.moe.expert_width, std::vector<std::int64_t>{48});
  EXPECT_TRUE(model.moe.renormalize);
  EXPECT_EQ(model.moe.score, moe::RouterScore::softmax);
  EXPECT_EQ(model.moe.softmax_order, moe::SoftmaxOrder::before_top_k);
  EXPECT_EQ(model.moe.shared_experts, 0);
  EXPECT_DOUBLE_EQ(model.moe.aux_loss, 0.001 * 2);
  EXPECT_EQ(model.moe.aux_loss_over, moe::AuxLossOver::all_layers);
}

TEST(ReadConfig, Olmoe) {
  const moe::ModelConfig model = read_model_description(config_of(Family::olmoe), "config.json").model;
  EXPECT_EQ(model.qk_norm, moe::QkNorm::full_width);
  EXPECT_FALSE(model.moe.renormalize);
  EXPECT_EQ(model.moe.expert_width, std::vector<std::int64_t>{48});
  EXPECT_EQ(model.norm_epsilon, 1e-5);
}

TEST(ReadConfig, Qwen2Moe) {
  const moe::ModelConfig model = read_model_description(config_of(Family::qwen2_moe), "config.json").model;
  EXPECT_TRUE(model.attention_bias);
  EXPECT_EQ(model.qk_norm, moe::QkNorm::none);
  EXPECT_EQ(model.moe.shared_experts, 1);
  EXPECT_TRUE(model.moe.shared_expert_gate);
  EXPECT_EQ(model.moe.shared_expert_width, 56);
  EXPECT_EQ(model.moe.expert_width, std::vector<std::int64_t>{48});
  EXPECT_EQ(moe::dense_width(model), 40);
  EXPECT_EQ(model.moe.first_dense_layers, 1);
  EXPECT_EQ(model.norm_epsilon, 1e-6);
  EXPECT_DOUBLE_EQ(model.moe.aux_loss, 0.001 * 2);
}

TEST(ReadConfig, Qwen3Moe) {
  const moe::ModelConfig model = read_model_description(config_of(Family::qwen3_moe), "config.json").model;
  EXPECT_EQ(model.qk_norm, moe::QkNorm::per_head);
  EXPECT_EQ(moe::head_width(model), 16);
  EXPECT_EQ(model.moe.experts, 4) << "spelled num_local_experts by transformers 5, num_experts by 4";
  EXPECT_TRUE(model.moe.renormalize);
  EXPECT_FALSE(model.attention_bias);
}

TEST(ReadConfig, DenseFamilies) {
  const moe::ModelConfig llama = read_model_description(config_of(Family::llama), "config.json").model;
  EXPECT_EQ(llama.moe.experts, 0);
  EXPECT_EQ(moe::dense_width(llama), 48);
  EXPECT_EQ(llama.qk_norm, moe::QkNorm::none);
  const moe::ModelConfig qwen3 = read_model_description(config_of(Family::qwen3), "config.json").model;
  EXPECT_EQ(qwen3.qk_norm, moe::QkNorm::per_head);
  EXPECT_EQ(moe::head_width(qwen3), 16);
  EXPECT_TRUE(read_model_description(config_of(Family::qwen2), "config.json").model.attention_bias);
  EXPECT_FALSE(read_model_description(config_of(Family::mistral), "config.json").model.attention_bias);
}

TEST(ReadConfig, AnAbsentKeyMeansWhatTransformersTakesItFor) {
  json config = config_of(Family::qwen3_moe);
  for (const char* key :
       {"norm_topk_prob", "num_experts_per_tok", "rms_norm_eps", "rope_parameters", "tie_word_embeddings",
        "head_dim", "max_position_embeddings", "router_aux_loss_coef"})
    config.erase(key);
  config["num_local_experts"] = 16;
  const moe::ModelConfig model = read_model_description(config, "config.json").model;
  EXPECT_FALSE(model.moe.renormalize) << "the class default, though every release has true";
  EXPECT_EQ(model.moe.top_k, 8);
  EXPECT_EQ(model.norm_epsilon, 1e-6);
  EXPECT_EQ(model.rope_theta, 1e4);
  EXPECT_FALSE(model.tied_head);
  EXPECT_EQ(moe::head_width(model), 8);
  EXPECT_EQ(model.max_sequence_length, 32768);

  config = config_of(Family::qwen3);
  config.erase("head_dim");
  EXPECT_EQ(moe::head_width(read_model_description(config, "config.json").model), 128);
  config = config_of(Family::mixtral);
  config.erase("rope_parameters");
  config.erase("num_key_value_heads");
  config["num_attention_heads"] = 16;
  EXPECT_EQ(read_model_description(config, "config.json").model.rope_theta, 1e6);
  EXPECT_EQ(read_model_description(config, "config.json").model.kv_heads, 8);
  config["num_key_value_heads"] = nullptr;
  EXPECT_EQ(read_model_description(config, "config.json").model.kv_heads, 16);
}

TEST(ReadConfig, BothSpellingsOfRotaryPositions) {
  json config = config_of(Family::llama);
  config.erase("rope_parameters");
  config["rope_theta"] = 5e5;
  EXPECT_EQ(read_model_description(config, "config.json").model.rope_theta, 5e5);
  config["rope_scaling"] = nullptr;
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 7e5}};
  EXPECT_EQ(read_model_description(config, "config.json").model.rope_theta, 7e5) << "the inner value wins";
}

TEST(ReadConfig, UnknownKeysAreListedAndHarmlessOnesAreNot) {
  json config = config_of(Family::llama);
  config["mystery"] = 3;
  config["pretraining_tp"] = 1;
  config["_name_or_path"] = "somewhere";
  EXPECT_THAT(read_model_description(config, "config.json").unknown_keys, testing::ElementsAre("mystery"));
}

TEST(ReadConfig, HabitsOfTrainingAreNoted) {
  json config = config_of(Family::mixtral);
  config["router_jitter_noise"] = 0.01;
  config["attention_dropout"] = 0.1;
  EXPECT_THAT(read_model_description(config, "config.json").notes, testing::SizeIs(2));
}

struct Refused {
  Family family;
  const char* key;
  json value;
  const char* expected;
};

TEST(ReadConfig, WhatChangesNumbersAndIsNotSupportedIsRefusedByItsPath) {
  const Refused cases[] = {
      {Family::mixtral, "model_type", "mamba", "model_type: must be one of mixtral"},
      {Family::mixtral, "model_type", nullptr, "model_type: must be one of"},
      {Family::mixtral,
       "architectures",
       {"MixtralForSequenceClassification"},
       "must hold MixtralForCausalLM"},
      {Family::mixtral, "hidden_act", "gelu", "hidden_act: must be silu; got \"gelu\""},
      {Family::mixtral, "vocab_size", nullptr, "vocab_size: must be given"},
      {Family::mixtral, "vocab_size", 0, "vocab_size: must be an integer in 1.."},
      {Family::mixtral, "vocab_size", -5, "vocab_size: must be an integer in 1.."},
      {Family::mixtral, "vocab_size", 18446744073709551615U, "vocab_size: must be an integer in 1.."},
      {Family::mixtral, "hidden_size", 32.5, "hidden_size: must be an integer"},
      {Family::mixtral, "hidden_size", "32", "hidden_size: must be an integer"},
      {Family::mixtral, "num_key_value_heads", 3, "num_key_value_heads: must divide num_attention_heads (4)"},
      {Family::mixtral, "num_attention_heads", 5, "num_attention_heads: must divide hidden_size"},
      {Family::mixtral, "head_dim", 7, "head_dim: must be even"},
      {Family::mixtral, "num_local_experts", nullptr, "num_local_experts: must be given"},
      {Family::mixtral, "num_experts", 8, "num_experts: must be equal to num_local_experts (4); got 8"},
      {Family::mixtral, "num_experts_per_tok", 5, "num_experts_per_tok: must be at most the 4 experts"},
      {Family::mixtral, "rms_norm_eps", "small", "rms_norm_eps: must be a finite number"},
      {Family::mixtral, "tie_word_embeddings", 1, "tie_word_embeddings: must be true or false"},
      {Family::mixtral, "router_aux_loss_coef", -1, "router_aux_loss_coef: must not be negative"},
      {Family::mixtral, "quantization_config", {{"bits", 4}}, "quantization_config: is not supported"},
      {Family::mixtral, "auto_map", {{"AutoModel", "x.py"}}, "auto_map: is not supported"},
      {Family::mixtral, "rope_parameters", {{"rope_type", "longrope"}}, "rope_parameters.rope_type: must be"},
      {Family::mixtral, "rope_scaling", {{"type", "dynamic"}, {"factor", 2}}, "rope_scaling.type: must be"},
      {Family::mixtral,
       "rope_parameters",
       {{"rope_type", "default"}, {"odd", 1}},
       "rope_parameters.odd: is not"},
      {Family::mixtral, "partial_rotary_factor", 0.5, "partial_rotary_factor: must be 1"},
      {Family::llama, "hidden_size", 33,
       "num_attention_heads: must divide hidden_size in this family; got 4"},
      {Family::olmoe, "head_dim", 16, "head_dim: must be hidden_size / num_attention_heads"},
      {Family::qwen2_moe, "mlp_only_layers", {"a"}, "mlp_only_layers: must be a list of integers"},
      {Family::llama,
       "rope_parameters",
       {{"rope_type", "llama3"}, {"factor", 8}},
       "rope_parameters.low_freq_factor: must be given"},
      {Family::llama,
       "rope_parameters",
       {{"rope_type", "yarn"}, {"factor", 0.5}},
       "rope_parameters.factor: must be at least 1"},
      {Family::llama,
       "layer_types",
       {"sliding_attention", "full_attention"},
       "layer_types: must all be full"},
      {Family::qwen2, "layer_types", {"sliding_attention", "full_attention"}, "layer_types: must not hold"},
      {Family::qwen2, "layer_types", {"full_attention"}, "layer_types: must name the 2 layers"},
      {Family::olmoe, "clip_qkv", 0, "clip_qkv: must be null or above 0"},
      {Family::qwen2_moe, "shared_expert_intermediate_size", nullptr,
       "shared_expert_intermediate_size: must be"},
      {Family::llama, "mlp_bias", true, "mlp_bias: must be false"},
      {Family::llama, "kv_lora_rank", 512, "kv_lora_rank: is not supported"},
  };
  for (const Refused& one : cases) {
    json config = config_of(one.family);
    config[one.key] = one.value;
    const std::string message = refusal(config);
    EXPECT_THAT(message, HasSubstr(one.expected)) << one.key;
    EXPECT_THAT(message, HasSubstr("there/config.json: "));
  }
}

TEST(ReadConfig, AllRefusalsComeAtOnce) {
  json config = config_of(Family::llama);
  config["hidden_act"] = "relu";
  config["mlp_bias"] = true;
  config["vocab_size"] = "many";
  EXPECT_THAT(refusal(config),
              testing::AllOf(HasSubstr("hidden_act"), HasSubstr("mlp_bias"), HasSubstr("vocab_size")));
}

TEST(ReadConfig, AListOrATextIsNoConfiguration) {
  EXPECT_THAT(refusal(json::array({1})), HasSubstr("must be a JSON object"));
  EXPECT_THAT(refusal(json("x")), HasSubstr("must be a JSON object"));
}

}  // namespace
}  // namespace switchyard::app
