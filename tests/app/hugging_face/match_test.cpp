#include "app/hugging_face/family/match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

using testing::HasSubstr;

moe::ModelConfig sparse() {
  moe::ModelConfig model;
  model.moe.experts = 4;
  model.moe.expert_width = {48};
  return model;
}

std::string refusal(const moe::ModelConfig& model, std::string_view wanted = "") {
  try {
    choose_family(model, wanted);
  } catch (const UserError& error) {
    return error.what();
  }
  return {};
}

TEST(Match, TheSwitchesDecideTheFamily) {
  moe::ModelConfig model = sparse();
  EXPECT_EQ(choose_family(model, "").family, Family::mixtral);
  model.moe.renormalize = false;
  model.moe.softmax_order = moe::SoftmaxOrder::after_top_k;  // sums to 1 all the same
  EXPECT_EQ(choose_family(model, "").family, Family::mixtral);
  model = sparse();
  model.qk_norm = moe::QkNorm::full_width;
  EXPECT_EQ(choose_family(model, "").family, Family::olmoe);
  model.qk_norm = moe::QkNorm::per_head;
  EXPECT_EQ(choose_family(model, "").family, Family::qwen3_moe);
  model.moe.first_dense_layers = 1;
  EXPECT_EQ(choose_family(model, "").family, Family::qwen3_moe);
  model = sparse();
  model.moe.shared_experts = 2;
  model.moe.shared_expert_gate = true;
  EXPECT_EQ(choose_family(model, "").family, Family::qwen2_moe);
  model.attention_bias = true;
  EXPECT_EQ(choose_family(model, "").family, Family::qwen2_moe);
  moe::ModelConfig dense;
  EXPECT_EQ(choose_family(dense, "").family, Family::llama);
  dense.attention_bias = true;
  EXPECT_EQ(choose_family(dense, "").family, Family::qwen2);
  dense.attention_bias = false;
  dense.qk_norm = moe::QkNorm::per_head;
  EXPECT_EQ(choose_family(dense, "").family, Family::qwen3);
}

TEST(Match, AWantedFamilyIsTakenOrItsObstacleNamed) {
  EXPECT_EQ(choose_family({}, "mistral").family, Family::mistral);
  EXPECT_THAT(refusal(sparse(), "qwen3_moe"),
              testing::AllOf(HasSubstr("model.qk_norm must be per_head; got none"),
                             testing::Not(HasSubstr("mixtral"))));
  EXPECT_THAT(refusal(sparse(), "gpt2"), HasSubstr("--family must be one of mixtral"));
}

TEST(Match, EachSwitchThatNoFamilyHasIsNamed) {
  const std::pair<const char*, std::function<void(moe::ModelConfig&)>> cases[] = {
      {"model.moe.score must be softmax", [](auto& m) { m.moe.score = moe::RouterScore::sigmoid; }},
      {"model.moe.scaling_factor must be 1", [](auto& m) { m.moe.scaling_factor = 2.5; }},
      {"model.moe.groups must be 1", [](auto& m) { m.moe.groups = 2; }},
      {"model.moe.bias_balancing must be false", [](auto& m) { m.moe.bias_balancing = true; }},
      {"model.moe.capacity_factor must be 0", [](auto& m) { m.moe.capacity_factor = 1.25; }},
      {"model.moe.expert_width must be one number",
       [](auto& m) { m.moe.expert_width = {48, 48, 48, 48, 48, 32}; }},
      {"model.moe.shared_expert_gate must be true", [](auto& m) { m.moe.shared_experts = 1; }},
      {"model.moe.renormalize must be true", [](auto& m) { m.moe.renormalize = false; }},
      {"model.attention_bias must be false",
       [](auto& m) {
         m.attention_bias = true;
         m.qk_norm = moe::QkNorm::per_head;
       }},
  };
  for (const auto& [expected, change] : cases) {
    moe::ModelConfig model = sparse();
    change(model);
    const std::string message = refusal(model);
    EXPECT_THAT(message, HasSubstr(expected));
    for (const FamilyTraits& family : families())
      EXPECT_THAT(message, HasSubstr(std::string(family.model_type)));
  }
}

TEST(Match, OlmoeNeedsHeadsThatFillTheWidth) {
  moe::ModelConfig model = sparse();
  model.qk_norm = moe::QkNorm::full_width;
  model.head_width = 32;
  EXPECT_THAT(refusal(model), HasSubstr("model.head_width must be width / heads"));
}

}  // namespace
}  // namespace switchyard::app
