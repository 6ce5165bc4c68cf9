#include "app/hugging_face/family/match.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/hugging_face/family/windows.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

using moe::QkNorm;

std::string_view name_of(QkNorm norm) {
  constexpr std::string_view names[] = {"none", "per_head", "full_width"};
  return names[static_cast<std::size_t>(norm)];
}

class Obstacles {
 public:
  Obstacles(const FamilyTraits& family, const moe::ModelConfig& model) : family_(family), model_(model) {
    attention();
    if (!family.has_experts())
      require(model.moe.experts == 0, "model.moe.experts", "be 0", fmt::format("{}", model.moe.experts));
    else if (model.moe.experts == 0)
      require(false, "model.moe.experts", "be above 0", "0");
    else
      experts();
  }
  std::vector<std::string> take() { return std::move(found_); }

 private:
  void require(bool holds, std::string_view key, std::string_view rule, const std::string& got) {
    if (!holds) found_.push_back(fmt::format("{} must {}; got {}", key, rule, got));
  }
  void require_off(bool is_off, std::string_view key, std::string_view off, const std::string& got) {
    require(is_off, key, fmt::format("be {}", off), got);
  }

  void attention() {
    require(model_.qk_norm == family_.qk_norm, "model.qk_norm",
            fmt::format("be {}", name_of(family_.qk_norm)), std::string(name_of(model_.qk_norm)));
    const std::int64_t D = moe::head_width(model_);
    if (family_.family == Family::olmoe)
      require(D * model_.heads == model_.width, "model.head_width", "be width / heads", fmt::format("{}", D));
    if (family_.family == Family::llama)
      require(model_.width % model_.heads == 0, "model.heads", "divide model.width",
              fmt::format("{} of {}", model_.heads, model_.width));
    if (family_.biases == BiasRule::none)
      require_off(!model_.attention_bias, "model.attention_bias", "false", "true");
    if (family_.biases == BiasRule::inputs_always)
      require_off(model_.attention_bias, "model.attention_bias", "true", "false");
    if (family_.biases == BiasRule::all_by_key)
      require(model_.attention_output_bias == model_.attention_bias, "model.attention_output_bias",
              "be as model.attention_bias", fmt::format("{}", model_.attention_output_bias));
    else
      require_off(!model_.attention_output_bias, "model.attention_output_bias", "false", "true");
    if (family_.family != Family::olmoe)
      require_off(model_.clip_qkv == 0, "model.clip_qkv", "0", fmt::format("{}", model_.clip_qkv));
    if (std::string obstacle = window_obstacle(family_, model_); !obstacle.empty())
      found_.push_back(std::move(obstacle));
  }

  void experts() {
    const moe::MoeConfig& moe = model_.moe;
    if (!family_.has_dense_layers)
      require(moe::moe_layer_count(model_) == model_.layers,
              "model.moe.every, model.moe.first_dense_layers, model.moe.dense_layers", "be 1, 0 and []",
              fmt::format("{}, {} and [{}]", moe.every, moe.first_dense_layers,
                          fmt::join(moe.dense_layers, ", ")));
    require_off(moe.score == moe::RouterScore::softmax, "model.moe.score", "softmax", "sigmoid");
    require_off(moe.scaling_factor == 1, "model.moe.scaling_factor", "1",
                fmt::format("{}", moe.scaling_factor));
    require_off(moe.groups == 1, "model.moe.groups", "1", fmt::format("{}", moe.groups));
    require_off(!moe.bias_balancing, "model.moe.bias_balancing", "false", "true");
    require_off(moe.capacity_factor == 0, "model.moe.capacity_factor", "0 (dropless)",
                fmt::format("{}", moe.capacity_factor));
    require(has_one_width(), "model.moe.expert_width", "be one number for all layers",
            fmt::format("[{}]", fmt::join(moe.expert_width, ", ")));
    if (family_.always_renormalizes)  // softmax over the chosen sums to 1 already
      require(moe.renormalize || moe.softmax_order == moe::SoftmaxOrder::after_top_k, "model.moe.renormalize",
              "be true", "false");
    if (family_.has_shared_expert) {
      require(moe.shared_experts > 0, "model.moe.shared_experts", "be above 0", "0");
      require_off(moe.shared_expert_gate, "model.moe.shared_expert_gate", "true", "false");
    } else {
      require_off(moe.shared_experts == 0, "model.moe.shared_experts", "0",
                  fmt::format("{}", moe.shared_experts));
    }
  }

  bool has_one_width() const {
    std::vector<std::int64_t> widths;
    for (std::int64_t l = 0; l < model_.layers; ++l)
      if (moe::is_moe_layer(model_, l)) widths.push_back(moe::expert_width(model_, l));
    return std::ranges::adjacent_find(widths, std::ranges::not_equal_to()) == widths.end();
  }

  const FamilyTraits& family_;
  const moe::ModelConfig& model_;
  std::vector<std::string> found_;
};

/// Dense Mistral says nothing that Llama cannot say, so Llama comes first; likewise the others.
constexpr Family kPreference[] = {Family::mixtral, Family::olmoe, Family::qwen3_moe, Family::qwen2_moe,
                                  Family::llama,   Family::qwen3, Family::qwen2,     Family::mistral};

}  // namespace

std::vector<std::string> obstacles(const FamilyTraits& family, const moe::ModelConfig& model) {
  return Obstacles(family, model).take();
}

const FamilyTraits& choose_family(const moe::ModelConfig& model, std::string_view wanted) {
  std::vector<std::string> lines;
  std::vector<std::string_view> names;
  for (const Family family : kPreference) {
    const FamilyTraits& traits = traits_of(family);
    names.push_back(traits.model_type);
    if (!wanted.empty() && wanted != traits.model_type) continue;
    const std::vector<std::string> found = obstacles(traits, model);
    if (found.empty()) return traits;
    lines.push_back(fmt::format("{:<10} {}", traits.model_type, fmt::join(found, "; ")));
  }
  if (lines.empty())
    throw UserError(fmt::format("--family must be one of {}; got '{}'", fmt::join(names, ", "), wanted));
  throw UserError(
      fmt::format("the model is of no family that transformers computes alike; what prevents {}:\n  {}",
                  wanted.empty() ? "each" : "it", fmt::join(lines, "\n  ")));
}

}  // namespace switchyard::app
