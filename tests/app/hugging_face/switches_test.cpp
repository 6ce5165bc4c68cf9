// Windows, frequency scalings, clipping and biases of config.json, in and out again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/hugging_face/family/match.h"
#include "app/hugging_face/family/read_config.h"
#include "app/hugging_face/family/write_config.h"
#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/folders.h"

namespace switchyard::app {
namespace {

using kernels::RopeScalingKind;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A configuration of the family with other values for some keys; "" erases one.
json config_with(Family family, const json& changes) {
  json config = test::written_config(traits_of(family));
  for (const auto& [key, value] : changes.items()) {
    if (value == "")
      config.erase(key);
    else
      config[key] = value;
  }
  return config;
}

moe::ModelConfig read(Family family, const json& changes) {
  const ModelDescription description = read_model_description(config_with(family, changes), "config.json");
  EXPECT_THAT(description.unknown_keys, IsEmpty());
  return description.model;
}

// What was read is written and read again; returns the last.
moe::ModelConfig again(Family family, const moe::ModelConfig& model) {
  const FamilyTraits& traits = traits_of(family);
  EXPECT_THAT(obstacles(traits, model), IsEmpty());
  const json written = model_description(traits, model, {model.vocab_size, 0, "float32"});
  const ModelDescription description = read_model_description(written, "written.json");
  EXPECT_THAT(description.unknown_keys, IsEmpty());
  return description.model;
}

std::vector<std::int64_t> windows(Family family, const json& changes) {
  const moe::ModelConfig model = read(family, changes), back = again(family, model);
  EXPECT_EQ(back.sliding_window, model.sliding_window);
  return model.sliding_window;
}

TEST(Windows, AreThoseOfTheFamily) {
  const json on = {{"use_sliding_window", true}, {"sliding_window", 8}};
  EXPECT_THAT(windows(Family::mixtral, {{"sliding_window", 8}}), ElementsAre(8));
  EXPECT_THAT(windows(Family::mixtral, {{"sliding_window", nullptr}}), ElementsAre(0));
  EXPECT_THAT(windows(Family::mixtral, {{"sliding_window", ""}}), ElementsAre(0));
  EXPECT_THAT(windows(Family::mistral, {{"sliding_window", ""}}), ElementsAre(4096));
  EXPECT_THAT(windows(Family::qwen3_moe, on), ElementsAre(8));
  EXPECT_THAT(windows(Family::qwen3_moe, {{"use_sliding_window", false}, {"sliding_window", 8}}),
              ElementsAre(0));
  const json layers = {{"num_hidden_layers", 4},
                       {"use_sliding_window", true},
                       {"sliding_window", 8},
                       {"max_window_layers", 3},
                       {"layer_types", ""}};
  EXPECT_THAT(windows(Family::qwen2, layers), ElementsAre(0, 0, 0, 8));
  EXPECT_THAT(windows(Family::qwen3, layers), ElementsAre(0, 0, 0, 8));
  EXPECT_THAT(windows(Family::qwen2_moe, layers), ElementsAre(8, 0, 8, 0));
  json listed = layers;
  listed["layer_types"] = {"full_attention", "sliding_attention", "sliding_attention", "full_attention"};
  EXPECT_THAT(windows(Family::qwen2_moe, listed), ElementsAre(0, 8, 8, 0));
}

TEST(Windows, ThatAFamilyCannotSayPreventIt) {
  moe::ModelConfig model = read(Family::mistral, {{"sliding_window", 8}});
  EXPECT_THAT(obstacles(traits_of(Family::llama), model),
              ElementsAre(HasSubstr("model.sliding_window must be 0")));
  model.sliding_window = {8, 0};
  EXPECT_THAT(obstacles(traits_of(Family::mistral), model), ElementsAre(HasSubstr("the same in all layers")));
  model = read(Family::qwen2, {});
  model.sliding_window = {8, 9};
  EXPECT_THAT(obstacles(traits_of(Family::qwen2), model), ElementsAre(HasSubstr("of one size")));
}

void expect_equal(const kernels::RopeScaling& a, const kernels::RopeScaling& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.factor, b.factor);
  EXPECT_EQ(a.original_length, b.original_length);
  EXPECT_EQ(a.low_frequency_factor, b.low_frequency_factor);
  EXPECT_EQ(a.high_frequency_factor, b.high_frequency_factor);
  EXPECT_EQ(a.beta_fast, b.beta_fast);
  EXPECT_EQ(a.beta_slow, b.beta_slow);
  EXPECT_EQ(a.truncate, b.truncate);
  EXPECT_DOUBLE_EQ(kernels::rope_attention_factor(a), kernels::rope_attention_factor(b));
}

kernels::RopeScaling scaling(const json& parameters) {
  const moe::ModelConfig newer = read(Family::llama, {{"rope_parameters", parameters}});
  const moe::ModelConfig older = read(Family::llama, {{"rope_parameters", ""}, {"rope_scaling", parameters}});
  expect_equal(newer.rope_scaling, older.rope_scaling);
  expect_equal(again(Family::llama, newer).rope_scaling, newer.rope_scaling);
  return newer.rope_scaling;
}

TEST(RopeScaling, IsTakenOverAndWritten) {
  expect_equal(scaling({{"rope_type", "linear"}, {"factor", 2.5}}),
               {.kind = RopeScalingKind::linear, .factor = 2.5});
  expect_equal(scaling({{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.5},
                        {"high_freq_factor", 5.0},
                        {"original_max_position_embeddings", 32}}),
               {.kind = RopeScalingKind::llama3,
                .factor = 8,
                .original_length = 32,
                .low_frequency_factor = 1.5,
                .high_frequency_factor = 5});
  expect_equal(scaling({{"rope_type", "yarn"},
                        {"factor", 4.0},
                        {"beta_fast", 16},
                        {"beta_slow", 2},
                        {"truncate", false},
                        {"attention_factor", 0.5},
                        {"original_max_position_embeddings", 16}}),
               {.kind = RopeScalingKind::yarn,
                .factor = 4,
                .original_length = 16,
                .beta_fast = 16,
                .beta_slow = 2,
                .attention_factor = 0.5,
                .truncate = false});
}

TEST(RopeScaling, OfYarnFillsInWhatIsAbsentAsTransformersDoes) {
  // max_position_embeddings is 64.
  expect_equal(scaling({{"rope_type", "yarn"}, {"factor", 4.0}}),
               {.kind = RopeScalingKind::yarn, .factor = 4, .original_length = 64});
  expect_equal(scaling({{"type", "yarn"}, {"factor", nullptr}, {"original_max_position_embeddings", 16}}),
               {.kind = RopeScalingKind::yarn, .factor = 4, .original_length = 16});
  EXPECT_DOUBLE_EQ(kernels::rope_attention_factor(scaling(
                       {{"rope_type", "yarn"}, {"factor", 40.0}, {"mscale", 0.7}, {"mscale_all_dim", 1.3}})),
                   (0.07 * std::log(40.0) + 1) / (0.13 * std::log(40.0) + 1));
  EXPECT_DOUBLE_EQ(
      kernels::rope_attention_factor(scaling({{"rope_type", "yarn"}, {"factor", 40.0}, {"mscale", 0.7}})),
      0.1 * std::log(40.0) + 1);
}

TEST(AttentionSwitches, BiasesAndClippingComeBack) {
  for (const Family family : {Family::olmoe, Family::qwen3_moe, Family::llama, Family::qwen3}) {
    const moe::ModelConfig model = read(family, {{"attention_bias", true}});
    EXPECT_TRUE(model.attention_bias);
    EXPECT_TRUE(model.attention_output_bias);
    EXPECT_TRUE(again(family, model).attention_output_bias);
    moe::ModelConfig half = model;
    half.attention_output_bias = false;
    EXPECT_THAT(obstacles(traits_of(family), half), ElementsAre(HasSubstr("model.attention_output_bias")));
  }
  const moe::ModelConfig clipped = read(Family::olmoe, {{"clip_qkv", 8.0}});
  EXPECT_EQ(clipped.clip_qkv, 8.0);
  EXPECT_EQ(again(Family::olmoe, clipped).clip_qkv, 8.0);
  moe::ModelConfig model = read(Family::mixtral, {});
  model.clip_qkv = 1;
  model.attention_output_bias = true;
  EXPECT_THAT(obstacles(traits_of(Family::mixtral), model),
              ElementsAre(HasSubstr("model.attention_output_bias"), HasSubstr("model.clip_qkv")));
}

TEST(AuxLoss, ComesBackOverAllLayersAndWeighsTheSameOverEach) {
  moe::ModelConfig model = read(Family::mixtral, {{"router_aux_loss_coef", 0.25}});
  EXPECT_DOUBLE_EQ(model.moe.aux_loss, 0.25 * 2);
  EXPECT_DOUBLE_EQ(again(Family::mixtral, model).moe.aux_loss, 0.25 * 2);
  model.moe.aux_loss_over = moe::AuxLossOver::layer;
  EXPECT_DOUBLE_EQ(again(Family::mixtral, model).moe.aux_loss, 0.25 * 2 * 2) << "of two layers";
  EXPECT_EQ(read(Family::mixtral, {{"router_aux_loss_coef", 0}}).moe.aux_loss_over, moe::AuxLossOver::layer);
}

}  // namespace
}  // namespace switchyard::app
