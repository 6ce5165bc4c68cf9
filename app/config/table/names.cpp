#include "app/config/table/names.h"

#include <fmt/format.h>

#include <vector>

#include "app/config/table/option.h"
#include "app/terminal/suggest.h"

namespace switchyard::app {

namespace {

/// Names other trainers use for our keys; too far from ours for counting edits.
struct OtherName {
  std::string_view name;
  std::string_view path;
};
constexpr OtherName kOtherNames[] = {
    {"hidden_size", "model.width"},
    {"d_model", "model.width"},
    {"n_embd", "model.width"},
    {"n_layer", "model.layers"},
    {"num_layers", "model.layers"},
    {"num_hidden_layers", "model.layers"},
    {"n_head", "model.heads"},
    {"num_attention_heads", "model.heads"},
    {"num_key_value_heads", "model.kv_heads"},
    {"head_dim", "model.head_width"},
    {"intermediate_size", "model.mlp_width"},
    {"ffn_hidden_size", "model.mlp_width"},
    {"max_position_embeddings", "model.max_sequence_length"},
    {"rms_norm_eps", "model.norm_epsilon"},
    {"tie_word_embeddings", "model.tied_head"},
    {"num_experts", "model.moe.experts"},
    {"n_routed_experts", "model.moe.experts"},
    {"num_experts_per_tok", "model.moe.top_k"},
    {"topk", "model.moe.top_k"},
    {"moe_intermediate_size", "model.moe.expert_width"},
    {"norm_topk_prob", "model.moe.renormalize"},
    {"seq_len", "data.sequence_length"},
    {"seq_length", "data.sequence_length"},
    {"block_size", "data.sequence_length"},
    {"max_steps", "train.steps"},
    {"iterations", "train.steps"},
    {"batch_size", "train.global_batch"},
    {"micro_batch_size", "train.micro_batch"},
    {"eval_interval", "train.evaluate_every"},
    {"dtype", "train.precision"},
    {"lr", "optimizer.learning_rate"},
    {"eps", "optimizer.epsilon"},
    {"grad_clip", "optimizer.clip_norm"},
    {"warmup", "optimizer.schedule.warmup_steps"},
    {"expert_parallel", "parallel.expert"},
    {"save_interval", "checkpoint.every"},
};

/// "did you mean heads?" where the key stays in its section, else the full path.
std::string question(std::string_view path, std::string_view section) {
  const bool same_section = !section.empty() && parent_path(path) == section;
  return fmt::format("did you mean {}?", same_section ? last_name(path) : path);
}

std::vector<std::string> names_in(std::string_view section) {
  std::vector<std::string> names;
  for (const Option* option : options_of(section)) names.emplace_back(last_name(option->path));
  for (const Section& inner : sections())
    if (parent_path(inner.path) == section) names.emplace_back(last_name(inner.path));
  return names;
}

/// A key of another section that carries exactly this name.
std::string same_name_elsewhere(std::string_view name) {
  for (const Option& option : options())
    if (last_name(option.path) == name) return std::string(option.path);
  for (const OtherName& other : kOtherNames)
    if (other.name == name) return std::string(other.path);
  return {};
}

std::string joined(std::string_view section, std::string_view name) {
  return section.empty() ? std::string(name) : fmt::format("{}.{}", section, name);
}

Suggestion suggestion_for(std::string rule, const std::string& path, std::string_view section) {
  const bool is_option = find_option(path) != nullptr;
  return {std::move(rule), question(path, section), is_option ? path : std::string()};
}

}  // namespace

Suggestion suggest_key(std::string_view path, std::string_view section) {
  const std::string unknown = "is not a key of any section";
  // A key with dots inside a file: valid names, but each section must be a map of its own there.
  const std::string_view key = section.empty() ? path : path.substr(section.size() + 1);
  if (find_section(path) != nullptr)
    return {"is a section and takes no value",
            fmt::format("set one of its keys; see `switchyard help config {}`", path), ""};
  if (find_option(path) != nullptr)
    return {"must be written as nested sections",
            fmt::format("write '{}:' and below it '{}:'", parent_path(path), last_name(path)),
            std::string(path)};
  // From --set a full path comes in: look in the section it names.
  const bool is_path = section.empty() && key.find('.') != std::string_view::npos;
  const std::string_view home = is_path ? parent_path(path) : section;
  const std::string_view name = is_path ? last_name(path) : key;
  if (home.empty() || find_section(home) != nullptr) {
    if (const auto nearest = nearest_name(name, names_in(home)))
      return suggestion_for(unknown, joined(home, *nearest), section);
  }
  if (const std::string elsewhere = same_name_elsewhere(name); !elsewhere.empty())
    return suggestion_for(unknown, elsewhere, section);
  if (is_path) {
    std::vector<std::string> paths;
    for (const Option& option : options()) paths.emplace_back(option.path);
    if (const auto nearest = nearest_name(path, paths)) return suggestion_for(unknown, *nearest, section);
  }
  const std::string where = find_section(home) != nullptr ? fmt::format(" {}", home) : "";
  return {unknown, fmt::format("see `switchyard help config{}`", where), ""};
}

}  // namespace switchyard::app
