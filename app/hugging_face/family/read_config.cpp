#include "app/hugging_face/family/read_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "app/config/table/option.h"
#include "app/hugging_face/family/aux_loss.h"
#include "app/hugging_face/family/dense_layers.h"
#include "app/hugging_face/family/json_keys.h"
#include "app/hugging_face/family/read_rope.h"
#include "app/hugging_face/family/windows.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

using nlohmann::json;

/// Keys that say how to use or save the model, never what it computes.
constexpr std::string_view kHarmless[] = {"_name_or_path",
                                          "_commit_hash",
                                          "transformers_version",
                                          "use_cache",
                                          "output_router_logits",
                                          "output_attentions",
                                          "output_hidden_states",
                                          "return_dict",
                                          "bos_token_id",
                                          "pad_token_id",
                                          "tokenizer_class",
                                          "is_decoder",
                                          "attn_implementation",
                                          "_attn_implementation",
                                          "_attn_implementation_autoset",
                                          "_attn_implementation_internal",
                                          "experts_implementation",
                                          "_experts_implementation_internal",
                                          "id2label",
                                          "label2id",
                                          "num_labels",
                                          "problem_type",
                                          "chunk_size_feed_forward",
                                          "finetuning_task",
                                          "task_specific_params",
                                          "torchscript",
                                          "pretraining_tp",
                                          "max_length",
                                          "do_sample",
                                          "temperature",
                                          "top_p",
                                          "unsloth_version",
                                          "keys_to_ignore_at_inference"};

/// Keys that ask for another model than the family's; present and not null, they are refused.
constexpr std::string_view kForeign[] = {"quantization_config",
                                         "auto_map",
                                         "per_layer_config",
                                         "text_config",
                                         "vision_config",
                                         "pruned_heads",
                                         "kv_lora_rank",
                                         "q_lora_rank",
                                         "attention_multiplier",
                                         "logits_scaling",
                                         "residual_multiplier",
                                         "embedding_multiplier",
                                         "final_logit_softcapping",
                                         "attn_logit_softcapping",
                                         "n_shared_experts",
                                         "routed_scaling_factor",
                                         "scoring_func",
                                         "n_group",
                                         "topk_group",
                                         "no_rope_layers",
                                         "attention_sinks"};

/// Switches that make another model where they are on.
constexpr std::string_view kMustBeOff[] = {"mlp_bias", "is_encoder_decoder", "add_cross_attention"};

/// The greatest value that a key of our own configuration takes: below it no product of sizes overflows.
std::int64_t most_of(std::string_view path) {
  return std::get<Integer>(find_option(path)->kind).most;
}

class Reader {
 public:
  Reader(const json& config, const FamilyTraits& traits) : traits_(traits), keys_(config, "", refusals_) {
    description_.family = traits.family;
    sizes();
    attention();
    read_rope(keys_, traits_, refusals_, model_);
    if (traits_.has_experts()) experts();
    check_rest(config);
    description_.unknown_keys = keys_.unread();
  }

  const Refusals& refusals() const { return refusals_; }
  ModelDescription take() { return std::move(description_); }

 private:
  void sizes() {
    model_.vocab_size = keys_.required_integer("vocab_size", most_of("model.vocab_size"));
    model_.width = keys_.required_integer("hidden_size", most_of("model.width"));
    model_.layers = keys_.required_integer("num_hidden_layers", most_of("model.layers"));
    model_.heads = keys_.required_integer("num_attention_heads", most_of("model.heads"));
    if (keys_.is_null("num_key_value_heads") || traits_.default_kv_heads == 0)
      model_.kv_heads = keys_.integer("num_key_value_heads").value_or(model_.heads);
    else
      model_.kv_heads = keys_.integer("num_key_value_heads").value_or(traits_.default_kv_heads);
    const std::int64_t head_dim =
        keys_.is_null("head_dim")
            ? 0
            : keys_.integer("head_dim", 1, most_of("model.head_width")).value_or(traits_.default_head_dim);
    model_.head_width = head_dim > 0 ? head_dim : model_.width / model_.heads;
    model_.max_sequence_length =
        keys_.integer("max_position_embeddings", 1, most_of("model.max_sequence_length"))
            .value_or(traits_.default_positions);
    model_.norm_epsilon = keys_.number("rms_norm_eps").value_or(traits_.default_epsilon);
    model_.tied_head = keys_.boolean("tie_word_embeddings").value_or(false);
    if (const double range = keys_.number("initializer_range").value_or(0); range > 0)
      model_.init_std = range;
    // Where experts have a width key of their own, this one is for dense layers, which there may be none of.
    if (traits_.expert_width_key != "intermediate_size")
      model_.mlp_width = traits_.has_experts()
                             ? keys_.integer("intermediate_size", 1, most_of("model.mlp_width")).value_or(0)
                             : keys_.required_integer("intermediate_size", most_of("model.mlp_width"));
    if (model_.heads % model_.kv_heads != 0)
      keys_.refuse("num_key_value_heads", fmt::format("must divide num_attention_heads ({})", model_.heads));
    if (model_.head_width % 2 != 0) keys_.refuse("head_dim", "must be even (width / heads where absent)");
    if (traits_.family == Family::llama && model_.width % model_.heads != 0)
      keys_.refuse("num_attention_heads", "must divide hidden_size in this family");
    else if (head_dim == 0 && model_.width % model_.heads != 0)
      keys_.refuse("num_attention_heads", "must divide hidden_size where head_dim is absent");
  }

  void attention() {
    model_.qk_norm = traits_.qk_norm;
    if (traits_.qk_norm == moe::QkNorm::full_width && model_.head_width * model_.heads != model_.width)
      keys_.refuse("head_dim", "must be hidden_size / num_attention_heads in this family");
    switch (traits_.biases) {
      case BiasRule::none:
        break;
      case BiasRule::inputs_always:
        model_.attention_bias = true;
        break;
      case BiasRule::inputs_by_key:
        model_.attention_bias = keys_.boolean("qkv_bias").value_or(true);
        break;
      case BiasRule::all_by_key:
        model_.attention_bias = model_.attention_output_bias =
            keys_.boolean("attention_bias").value_or(false);
        break;
    }
    if (traits_.family == Family::olmoe && keys_.has("clip_qkv")) {
      model_.clip_qkv = keys_.number("clip_qkv").value_or(0);
      if (model_.clip_qkv <= 0) keys_.refuse("clip_qkv", "must be null or above 0");
    }
    read_windows(keys_, traits_, model_);
  }

  void experts() {
    moe::MoeConfig& moe = model_.moe;
    moe.experts = experts_of_a_layer();
    moe.top_k = keys_.integer("num_experts_per_tok").value_or(traits_.default_top_k);
    moe.expert_width = {keys_.required_integer(traits_.expert_width_key, most_of("model.mlp_width"))};
    moe.renormalize = traits_.always_renormalizes || keys_.boolean("norm_topk_prob").value_or(false);
    if (moe.top_k > moe.experts)
      keys_.refuse("num_experts_per_tok", fmt::format("must be at most the {} experts", moe.experts));
    if (traits_.has_shared_expert) {
      moe.shared_experts = 1;
      moe.shared_expert_gate = true;
      moe.shared_expert_width =
          keys_.required_integer("shared_expert_intermediate_size", most_of("model.mlp_width"));
    }
    if (traits_.has_dense_layers) dense_layers();
    aux_loss();
    if (keys_.number("router_jitter_noise").value_or(0) != 0)
      description_.notes.emplace_back("router_jitter_noise is a habit of training that is not taken over");
  }

  /// transformers takes either name in each of these families and writes now one, now the other.
  std::int64_t experts_of_a_layer() {
    const std::string_view other = traits_.experts_key == "num_experts" ? "num_local_experts" : "num_experts";
    const std::int64_t most = most_of("model.moe.experts");
    const auto count = keys_.integer(traits_.experts_key, 1, most), alias = keys_.integer(other, 1, most);
    if (count && alias && *count != *alias)
      keys_.refuse(other, fmt::format("must be equal to {} ({})", traits_.experts_key, *count));
    return count ? *count : alias ? *alias : keys_.required_integer(traits_.experts_key, most);
  }

  void dense_layers() {
    DenseLayers layers;
    layers.layers = model_.layers;
    layers.step = keys_.integer("decoder_sparse_step").value_or(1);
    if (const json* list = keys_.list("mlp_only_layers")) {
      for (const json& item : *list) {
        if (!item.is_number_integer()) return keys_.refuse("mlp_only_layers", "must be a list of integers");
        layers.dense.insert(item.get<std::int64_t>());
      }
    }
    to_our_rule(layers, model_.moe);
    const bool any_dense = !all_sparse(layers);
    if (any_dense && model_.mlp_width == 0)
      model_.mlp_width = keys_.required_integer("intermediate_size", most_of("model.mlp_width"));
  }

  void aux_loss() {
    const double coefficient = keys_.number("router_aux_loss_coef").value_or(traits_.default_aux_coefficient);
    if (coefficient < 0) return keys_.refuse("router_aux_loss_coef", "must not be negative");
    set_our_aux_loss(model_, coefficient);
  }

  void check_rest(const json& config) {
    if (const auto activation = keys_.text("hidden_act");
        activation && *activation != "silu" && *activation != "swish")
      keys_.refuse("hidden_act", "must be silu");
    if (const json* list = keys_.list("architectures"))
      if (std::ranges::find(*list, json(traits_.architecture)) == list->end())
        keys_.refuse("architectures", fmt::format("must hold {}", traits_.architecture));
    for (const std::string_view key : kForeign)
      if (config.contains(key) && keys_.has(key)) keys_.refuse(key, "is not supported");
    for (const std::string_view key : kMustBeOff)
      if (keys_.boolean(key).value_or(false)) keys_.refuse(key, "must be false");
    if (keys_.number("attention_dropout").value_or(0) != 0)
      description_.notes.emplace_back("attention_dropout is a habit of training that is not taken over");
    description_.dtype = keys_.text("torch_dtype").value_or(keys_.text("dtype").value_or(""));
    keys_.ignore("model_type");
    keys_.ignore("eos_token_id");
    if (const auto found = config.find("eos_token_id"); found != config.end()) {
      const json& first = found->is_array() && !found->empty() ? found->front() : *found;
      if (first.is_number_integer() && first.get<std::int64_t>() >= 0)
        description_.end_of_document = first.get<std::int64_t>();
    }
    for (const std::string_view key : kHarmless) keys_.ignore(key);
  }

  const FamilyTraits& traits_;
  Refusals refusals_;
  JsonKeys keys_;
  ModelDescription description_;
  moe::ModelConfig& model_ = description_.model;
};

}  // namespace

ModelDescription read_model_description(const json& config, std::string_view place) {
  if (!config.is_object())
    throw DataError(fmt::format("{}: must be a JSON object; got {}", place, shortened(config)));
  const auto type = config.find("model_type");
  const FamilyTraits* traits =
      type != config.end() && type->is_string() ? find_family(type->get_ref<const std::string&>()) : nullptr;
  if (traits == nullptr) {
    std::vector<std::string_view> known;
    for (const FamilyTraits& family : families()) known.push_back(family.model_type);
    throw DataError(fmt::format("{}: model_type: must be one of {}; got {}", place, fmt::join(known, ", "),
                                type == config.end() ? "nothing" : shortened(*type)));
  }
  Reader reader(config, *traits);
  if (!reader.refusals().empty())
    throw DataError(fmt::format("{}: the model cannot be taken over exactly:\n  {}", place,
                                fmt::join(reader.refusals(), "\n  ")));
  return reader.take();
}

}  // namespace switchyard::app
