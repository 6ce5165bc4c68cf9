// Keys of the sections model and model.moe.
#include <array>

#include "app/config/table/option.h"

namespace switchyard::app {

namespace {

using kernels::RopeScaling;
using moe::ModelConfig;
using moe::MoeConfig;

template <auto member>
constexpr auto model = &field<&Config::model, member>;
template <auto member>
constexpr auto rope = &field<&Config::model, &ModelConfig::rope_scaling, member>;
template <auto member>
constexpr auto experts = &field<&Config::model, &ModelConfig::moe, member>;

constexpr std::array<std::string_view, 3> kQkNorms = {"none", "per_head", "full_width"};
constexpr std::array<std::string_view, 2> kScores = {"softmax", "sigmoid"};
constexpr std::array<std::string_view, 2> kOrders = {"before_top_k", "after_top_k"};
constexpr std::array<std::string_view, 2> kAuxLossOver = {"layer", "all_layers"};
constexpr std::array<std::string_view, 4> kRopeScalings = {"none", "linear", "llama3", "yarn"};
constexpr std::array<std::string_view, 2> kDropPolicies = {"probability", "position"};

// Bounds far above any real model: they keep products of two sizes far inside 64 bits.
constexpr std::int64_t kMostLayers = 10'000;
constexpr std::int64_t kMostWidth = 1'048'576;
constexpr std::int64_t kMostHeads = 65'536;
constexpr std::int64_t kMostExperts = 65'536;
constexpr std::int64_t kMostTokens = 16'777'216;
constexpr std::int64_t kMostVocabulary = 2'147'483'647;

}  // namespace

std::span<const Option> model_options() {
  static const Option table[] = {
      {"model.vocab_size", Integer{model<&ModelConfig::vocab_size>, 0, kMostVocabulary}, "",
       "size of the vocabulary; 0 = the data's"},
      {"model.layers", Integer{model<&ModelConfig::layers>, 1, kMostLayers}, "", "number of blocks"},
      {"model.width", Integer{model<&ModelConfig::width>, 1, kMostWidth}, "", "width of the residual stream"},
      {"model.heads", Integer{model<&ModelConfig::heads>, 1, kMostHeads}, "", "query heads per layer"},
      {"model.kv_heads", Integer{model<&ModelConfig::kv_heads>, 0, kMostHeads}, "",
       "key/value heads, divides heads; 0 = heads"},
      {"model.head_width", Integer{model<&ModelConfig::head_width>, 0, kMostWidth}, "",
       "width of one head, even; 0 = width / heads"},
      {"model.mlp_width", Integer{model<&ModelConfig::mlp_width>, 0, kMostWidth}, "",
       "inner width of dense MLPs; 0 = 8/3 width, up to a multiple of 32"},
      {"model.max_sequence_length", Integer{model<&ModelConfig::max_sequence_length>, 0, kMostTokens},
       "tokens", "longest sequence the model is for; 0 = data.sequence_length"},
      {"model.rope_theta", Real{model<&ModelConfig::rope_theta>, 1, 1e12}, "",
       "base of the rotary position angles"},
      {"model.sliding_window", IntegerList{model<&ModelConfig::sliding_window>, 0, kMostTokens}, "tokens",
       "newest tokens that a query sees; one number, or one per layer; 0 = all"},
      {"model.clip_qkv", Real{model<&ModelConfig::clip_qkv>, 0, 1e6}, "",
       "queries, keys and values are kept within +- this; 0 = no limit"},
      {"model.norm_epsilon", Real{model<&ModelConfig::norm_epsilon>, 0, 1, true}, "",
       "added to the mean square in RMSNorm"},
      {"model.qk_norm", choice<&Config::model, &ModelConfig::qk_norm>(kQkNorms), "",
       "RMSNorm of queries and keys"},
      {"model.attention_bias", Boolean{model<&ModelConfig::attention_bias>}, "",
       "biases on the query, key and value projections"},
      {"model.attention_output_bias", Boolean{model<&ModelConfig::attention_output_bias>}, "",
       "a bias on the attention's output projection"},
      {"model.tied_head", Boolean{model<&ModelConfig::tied_head>}, "", "the output head is the embedding"},
      {"model.init_std", Real{model<&ModelConfig::init_std>, 0, 10, true}, "",
       "standard deviation of the initial weights"},

      {"model.rope_scaling.kind",
       choice<&Config::model, &ModelConfig::rope_scaling, &RopeScaling::kind>(kRopeScalings), "",
       "which frequencies are stretched, and how"},
      {"model.rope_scaling.factor", Real{rope<&RopeScaling::factor>, 1, 1e6}, "",
       "how many times longer sequences get"},
      {"model.rope_scaling.original_length", Integer{rope<&RopeScaling::original_length>, 0, kMostTokens},
       "tokens", "longest sequence of the first training (llama3, yarn)"},
      {"model.rope_scaling.low_frequency_factor",
       Real{rope<&RopeScaling::low_frequency_factor>, 0, 1e6, true}, "",
       "wavelengths above original_length / this are stretched (llama3)"},
      {"model.rope_scaling.high_frequency_factor",
       Real{rope<&RopeScaling::high_frequency_factor>, 0, 1e6, true}, "",
       "wavelengths below original_length / this stay (llama3)"},
      {"model.rope_scaling.beta_fast", Real{rope<&RopeScaling::beta_fast>, 0, 1e6, true}, "",
       "dims that turn this often within original_length stay (yarn)"},
      {"model.rope_scaling.beta_slow", Real{rope<&RopeScaling::beta_slow>, 0, 1e6, true}, "",
       "dims that turn this seldom are stretched (yarn)"},
      {"model.rope_scaling.attention_factor", Real{rope<&RopeScaling::attention_factor>, 0, 1000}, "",
       "multiplies rotated queries and keys; 0 = 0.1 ln(factor) + 1 (yarn)"},
      {"model.rope_scaling.truncate", Boolean{rope<&RopeScaling::truncate>}, "",
       "the passage between the two begins and ends at whole dims (yarn)"},

      {"model.moe.experts", Integer{experts<&MoeConfig::experts>, 0, kMostExperts}, "",
       "experts per MoE layer; 0 = a dense model"},
      {"model.moe.top_k", Integer{experts<&MoeConfig::top_k>, 1, kMostExperts}, "",
       "experts each token goes to"},
      {"model.moe.expert_width", IntegerList{experts<&MoeConfig::expert_width>, 0, kMostWidth}, "",
       "inner width of an expert; one number, or a list with one per layer"},
      {"model.moe.first_dense_layers", Integer{experts<&MoeConfig::first_dense_layers>, 0, kMostLayers},
       "layers", "the first n layers hold a dense MLP"},
      {"model.moe.every", Integer{experts<&MoeConfig::every>, 1, kMostLayers}, "layers",
       "after those, each n-th layer holds experts"},
      {"model.moe.dense_layers", IntegerList{experts<&MoeConfig::dense_layers>, 0, kMostLayers - 1, true}, "",
       "layers (from 0) that hold a dense MLP all the same; [] = none"},
      {"model.moe.shared_experts", Integer{experts<&MoeConfig::shared_experts>, 0, 1024}, "",
       "experts that every token passes through"},
      {"model.moe.shared_expert_width", Integer{experts<&MoeConfig::shared_expert_width>, 0, kMostWidth}, "",
       "inner width of one shared expert; 0 = expert_width"},
      {"model.moe.shared_expert_gate", Boolean{experts<&MoeConfig::shared_expert_gate>}, "",
       "scale the shared experts' output by a learned sigmoid"},
      {"model.moe.score", choice<&Config::model, &ModelConfig::moe, &MoeConfig::score>(kScores), "",
       "what turns router logits into scores"},
      {"model.moe.softmax_order",
       choice<&Config::model, &ModelConfig::moe, &MoeConfig::softmax_order>(kOrders), "",
       "softmax over all experts, or over the chosen ones (score: softmax)"},
      {"model.moe.renormalize", Boolean{experts<&MoeConfig::renormalize>}, "",
       "divide the chosen experts' weights by their sum"},
      {"model.moe.scaling_factor", Real{experts<&MoeConfig::scaling_factor>, 0, 1000, true}, "",
       "multiplies the weights last"},
      {"model.moe.groups", Integer{experts<&MoeConfig::groups>, 1, kMostExperts}, "",
       "equal runs of experts that are chosen among first; 1 = no limit"},
      {"model.moe.group_top_k", Integer{experts<&MoeConfig::group_top_k>, 1, kMostExperts}, "",
       "groups that stay eligible per token"},
      {"model.moe.bias_balancing", Boolean{experts<&MoeConfig::bias_balancing>}, "",
       "balance by a selection bias per expert, without a loss"},
      {"model.moe.bias_update_rate", Real{experts<&MoeConfig::bias_update_rate>, 0, 1, true}, "",
       "change of that bias per step"},
      {"model.moe.aux_loss", Real{experts<&MoeConfig::aux_loss>, 0, 100}, "",
       "coefficient of the load-balancing loss over a micro-batch"},
      {"model.moe.aux_loss_over",
       choice<&Config::model, &ModelConfig::moe, &MoeConfig::aux_loss_over>(kAuxLossOver), "",
       "one such loss per layer, or one on the sums over all layers"},
      {"model.moe.sequence_aux_loss", Real{experts<&MoeConfig::sequence_aux_loss>, 0, 100}, "",
       "coefficient of the same loss over each sequence"},
      {"model.moe.z_loss", Real{experts<&MoeConfig::z_loss>, 0, 100}, "",
       "coefficient of the loss on large router logits"},
      {"model.moe.capacity_factor", Real{experts<&MoeConfig::capacity_factor>, 0, 1000}, "",
       "an expert keeps at most this multiple of its even share; 0 = dropless"},
      {"model.moe.drop_policy",
       choice<&Config::model, &ModelConfig::moe, &MoeConfig::drop_policy>(kDropPolicies), "",
       "which rows stay when an expert is over capacity"},
  };
  return table;
}

}  // namespace switchyard::app
