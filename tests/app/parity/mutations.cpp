#include "tests/app/parity/mutations.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace switchyard::test {

namespace {

using kernels::RopeScalingKind;
using moe::ModelConfig;

// Of the tensors whose names end so.
using ChangeTensor = std::function<void(const ModelConfig&, std::vector<float>&)>;
bool change_tensors(Imported& model, const std::string& end, const ChangeTensor& change) {
  bool any = false;
  for (auto& [name, values] : model.weights) {
    if (!name.ends_with(end)) continue;
    const std::vector<float> before = values;
    change(model.config, values);
    any = any || values != before;
  }
  return any;
}

Mutation of_config(std::string name, std::function<bool(ModelConfig&)> change) {
  return {std::move(name), [change](Imported& model) { return change(model.config); }};
}

Mutation of_tensors(std::string name, std::vector<std::string> ends, ChangeTensor change) {
  return {std::move(name), [ends, change](Imported& model) {
            bool any = false;
            for (const std::string& end : ends) any = change_tensors(model, end, change) || any;
            return any;
          }};
}

Mutation of_rope(std::string name, RopeScalingKind kind, std::function<void(kernels::RopeScaling&)> change) {
  return of_config(std::move(name), [kind, change](ModelConfig& config) {
    if (config.rope_scaling.kind != kind) return false;
    change(config.rope_scaling);
    return true;
  });
}

// Rows of length `width` of a matrix, or the elements of a vector with width 1: row i becomes row from(i).
void permute_rows(std::vector<float>& values, std::int64_t width,
                  const std::function<std::int64_t(std::int64_t)>& from) {
  const std::vector<float> before = values;
  const std::int64_t rows = std::ssize(values) / width;
  for (std::int64_t row = 0; row < rows; ++row)
    std::copy_n(before.begin() + from(row) * width, width, values.begin() + row * width);
}

// Rows of a head (or of all heads, one after the other) from pairs side by side to halves.
std::int64_t interleaved(std::int64_t row, std::int64_t D) {
  const std::int64_t in_head = row % D;
  return row - in_head + (in_head < D / 2 ? 2 * in_head : 2 * (in_head - D / 2) + 1);
}

ChangeTensor interleave(bool is_matrix) {
  return [is_matrix](const ModelConfig& config, std::vector<float>& values) {
    permute_rows(values, is_matrix ? config.width : 1,
                 [&](std::int64_t row) { return interleaved(row, moe::head_width(config)); });
  };
}

// Gate and up of each MLP, one above the other in a tensor of `count` of them.
ChangeTensor swap_gate_and_up(bool experts) {
  return [experts](const ModelConfig& config, std::vector<float>& values) {
    const std::int64_t size = std::ssize(values) / (experts ? config.moe.experts : 1);
    for (auto at = values.begin(); at != values.end(); at += size) std::rotate(at, at + size / 2, at + size);
  };
}

void clear(const ModelConfig& /*config*/, std::vector<float>& values) {
  std::fill(values.begin(), values.end(), 0.0F);
}

// Query head h meets key head h mod G instead of h / (H / G): the same as moving the query heads.
bool map_heads_round_robin(Imported& model) {
  const ModelConfig& config = model.config;
  const std::int64_t H = config.heads, G = config.kv_heads, D = moe::head_width(config), C = config.width;
  if (G == 1 || G == H) return false;
  // Position h of the model computes what stands for head h in key group h / (H / G).
  const auto head = [&](std::int64_t h) { return h % (H / G) * G + h / (H / G); };
  const auto row = [&](std::int64_t r) { return head(r / D) * D + r % D; };
  for (auto& [name, values] : model.weights) {
    if (name.ends_with("attention.q.weight")) permute_rows(values, C, row);
    if (name.ends_with("attention.q.bias")) permute_rows(values, 1, row);
    if (config.qk_norm == moe::QkNorm::full_width && name.ends_with("attention.q_norm.weight"))
      permute_rows(values, 1, row);
    if (!name.ends_with("attention.output.weight")) continue;
    const std::vector<float> before = values;
    for (std::int64_t c = 0; c < C; ++c)
      for (std::int64_t r = 0; r < H * D; ++r)
        values[static_cast<std::size_t>(c * H * D + r)] =
            before[static_cast<std::size_t>(c * H * D + row(r))];
  }
  return true;
}

// Scores divided by the root of width / heads where head_dim is another.
bool scale_by_width_over_heads(Imported& model) {
  const ModelConfig& config = model.config;
  const double ratio =
      static_cast<double>(moe::head_width(config) * config.heads) / static_cast<double>(config.width);
  if (ratio == 1) return false;
  const auto scale = [&](const ModelConfig&, std::vector<float>& values) {
    for (float& value : values) value *= static_cast<float>(std::sqrt(ratio));
  };
  if (config.qk_norm != moe::QkNorm::none) return change_tensors(model, "attention.q_norm.weight", scale);
  change_tensors(model, "attention.q.bias", scale);
  return change_tensors(model, "attention.q.weight", scale);
}

// One norm weight over a head, used over the full width; or the other way round.
bool norm_over_other_rows(Imported& model, moe::QkNorm from) {
  ModelConfig& config = model.config;
  if (config.qk_norm != from) return false;
  const std::int64_t D = moe::head_width(config);
  config.qk_norm = from == moe::QkNorm::per_head ? moe::QkNorm::full_width : moe::QkNorm::per_head;
  for (auto& [name, values] : model.weights) {
    const bool is_q = name.ends_with("attention.q_norm.weight");
    if (!is_q && !name.ends_with("attention.k_norm.weight")) continue;
    const std::int64_t heads = is_q ? config.heads : config.kv_heads;
    const std::vector<float> head(values.begin(), values.begin() + D);
    values.clear();
    for (std::int64_t h = 0; h < (from == moe::QkNorm::per_head ? heads : 1); ++h)
      values.insert(values.end(), head.begin(), head.end());
  }
  return true;
}

std::vector<Mutation> router_mutations() {
  return {
      of_config("renormalisation the other way round",
                [](ModelConfig& config) {
                  config.moe.renormalize = !config.moe.renormalize;
                  return config.moe.experts > 0;
                }),
      of_config("softmax after the choice",
                [](ModelConfig& config) {
                  config.moe.softmax_order = moe::SoftmaxOrder::after_top_k;
                  return config.moe.experts > 0 && !config.moe.renormalize;
                }),
      of_config("sigmoid scores",
                [](ModelConfig& config) {
                  config.moe.score = moe::RouterScore::sigmoid;
                  return config.moe.experts > 0;
                }),
      of_config("one expert fewer for a token",
                [](ModelConfig& config) { return config.moe.experts > 0 && --config.moe.top_k > 0; }),
      of_config("auxiliary loss of each layer",
                [](ModelConfig& config) {
                  config.moe.aux_loss_over = moe::AuxLossOver::layer;
                  return config.moe.aux_loss > 0 && moe::moe_layer_count(config) > 1;
                }),
      of_config("auxiliary loss divided by the choices",
                [](ModelConfig& config) {
                  config.moe.aux_loss /= static_cast<double>(config.moe.top_k);
                  return config.moe.aux_loss > 0 && config.moe.top_k > 1;
                }),
      of_config("auxiliary loss of each sequence",
                [](ModelConfig& config) {
                  std::swap(config.moe.aux_loss, config.moe.sequence_aux_loss);
                  return config.moe.sequence_aux_loss > 0;
                }),
      of_config("no auxiliary loss",
                [](ModelConfig& config) { return std::exchange(config.moe.aux_loss, 0.0) > 0; }),
      of_config("no gate on the shared expert",
                [](ModelConfig& config) { return std::exchange(config.moe.shared_expert_gate, false); }),
      of_config("no shared expert",
                [](ModelConfig& config) {
                  config.moe.shared_expert_gate = false;
                  return std::exchange(config.moe.shared_experts, 0) > 0;
                }),
      of_tensors("gate and up of the experts swapped", {"moe.experts.gate_up.weight"},
                 swap_gate_and_up(true)),
      of_tensors("gate and up of dense and shared MLPs swapped",
                 {".mlp.gate_up.weight", "moe.shared.gate_up.weight"}, swap_gate_and_up(false)),
      of_tensors("experts in the opposite order", {"moe.router.weight"},
                 [](const ModelConfig& config, std::vector<float>& values) {
                   permute_rows(values, config.width,
                                [&](std::int64_t row) { return config.moe.experts - 1 - row; });
                 }),
  };
}

std::vector<Mutation> attention_mutations() {
  return {
      of_tensors("interleaved rotary pairs", {"attention.q.weight", "attention.k.weight"}, interleave(true)),
      of_config("epsilon doubled",
                [](ModelConfig& config) {
                  config.norm_epsilon *= 2;
                  return true;
                }),
      of_config("epsilon 1e-5 for 1e-6",
                [](ModelConfig& config) { return std::exchange(config.norm_epsilon, 1e-5) == 1e-6; }),
      of_config("no qk-norm",
                [](ModelConfig& config) {
                  return std::exchange(config.qk_norm, moe::QkNorm::none) != moe::QkNorm::none;
                }),
      {"qk-norm per head over the full width",
       [](Imported& model) { return norm_over_other_rows(model, moe::QkNorm::per_head); }},
      {"qk-norm over the full width per head",
       [](Imported& model) { return norm_over_other_rows(model, moe::QkNorm::full_width); }},
      {"weights of q-norm before an interleaved rotation",
       [](Imported& model) {
         if (model.config.qk_norm == moe::QkNorm::none) return false;
         return change_tensors(model, "attention.q_norm.weight", interleave(false));
       }},
      {"key heads taken in turn", map_heads_round_robin},
      {"scores scaled by width / heads", scale_by_width_over_heads},
      of_tensors("no bias on queries", {"attention.q.bias"}, clear),
      of_tensors("no bias on keys", {"attention.k.bias"}, clear),
      of_tensors("no bias on values", {"attention.v.bias"}, clear),
      of_config("no biases on queries, keys and values",
                [](ModelConfig& config) { return std::exchange(config.attention_bias, false); }),
      of_config("no bias on the output",
                [](ModelConfig& config) { return std::exchange(config.attention_output_bias, false); }),
      of_config("no clipping", [](ModelConfig& config) { return std::exchange(config.clip_qkv, 0.0) > 0; }),
      of_config("clipping at twice the limit",
                [](ModelConfig& config) {
                  config.clip_qkv *= 2;
                  return config.clip_qkv > 0;
                }),
      of_config("no window",
                [](ModelConfig& config) {
                  return std::exchange(config.sliding_window, {0}) != std::vector<std::int64_t>{0};
                }),
      of_config("a window longer by one",
                [](ModelConfig& config) {
                  bool any = false;
                  for (std::int64_t& window : config.sliding_window)
                    any = (window > 0 && ++window > 0) || any;
                  return any;
                }),
      of_config("the windows of the layers in the opposite order",
                [](ModelConfig& config) {
                  const std::vector<std::int64_t> before = config.sliding_window;
                  std::reverse(config.sliding_window.begin(), config.sliding_window.end());
                  return config.sliding_window != before;
                }),
      {"a tied head as a copy of the embedding",
       [](Imported& model) {
         if (!model.config.tied_head) return false;
         model.config.tied_head = false;
         model.weights["head.weight"] = model.weights.at("embedding.weight");
         return true;
       }},
      of_config("a head of its own taken for tied",
                [](ModelConfig& config) { return !std::exchange(config.tied_head, true); }),
  };
}

std::vector<Mutation> rope_mutations() {
  return {
      of_config("rope_theta ten times larger",
                [](ModelConfig& config) {
                  config.rope_theta *= 10;
                  return true;
                }),
      of_config("positions not scaled",
                [](ModelConfig& config) {
                  return std::exchange(config.rope_scaling, {}).kind != RopeScalingKind::none;
                }),
      of_rope("llama3 as linear", RopeScalingKind::llama3,
              [](auto& scaling) { scaling.kind = RopeScalingKind::linear; }),
      of_rope("yarn as linear", RopeScalingKind::yarn,
              [](auto& scaling) { scaling.kind = RopeScalingKind::linear; }),
      of_rope("another factor of linear", RopeScalingKind::linear,
              [](auto& scaling) { scaling.factor *= 1.5; }),
      of_rope("another factor of llama3", RopeScalingKind::llama3,
              [](auto& scaling) { scaling.factor *= 1.5; }),
      of_rope("another factor of yarn", RopeScalingKind::yarn,
              [](auto& scaling) {
                scaling.attention_factor = kernels::rope_attention_factor(scaling);
                scaling.factor *= 1.5;
              }),
      of_rope("another length of llama3", RopeScalingKind::llama3,
              [](auto& scaling) { scaling.original_length *= 2; }),
      of_rope("another length of yarn", RopeScalingKind::yarn,
              [](auto& scaling) { scaling.original_length *= 2; }),
      of_rope("llama3 without its low_freq_factor", RopeScalingKind::llama3,
              [](auto& scaling) { scaling.low_frequency_factor *= 0.5; }),
      of_rope("llama3 without its high_freq_factor", RopeScalingKind::llama3,
              [](auto& scaling) { scaling.high_frequency_factor *= 2; }),
      of_rope("yarn without its beta_fast", RopeScalingKind::yarn,
              [](auto& scaling) { scaling.beta_fast *= 3; }),
      of_rope("yarn without its beta_slow", RopeScalingKind::yarn,
              [](auto& scaling) { scaling.beta_slow /= 3; }),
      of_rope("yarn without an attention factor", RopeScalingKind::yarn,
              [](auto& scaling) { scaling.attention_factor = 1; }),
      of_rope("the other truncation of yarn", RopeScalingKind::yarn,
              [](auto& scaling) { scaling.truncate = !scaling.truncate; }),
  };
}

}  // namespace

std::vector<Mutation> mutations() {
  std::vector<Mutation> all = router_mutations();
  for (const auto& more : {attention_mutations(), rope_mutations()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace switchyard::test
