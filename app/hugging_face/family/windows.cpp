#include "app/hugging_face/family/windows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace switchyard::app {

namespace {

using nlohmann::json;

/// How a family says which layers have a window.
enum class WindowRule {
  none,       ///< no layer has one
  all,        ///< all layers, if `sliding_window` is a number
  switched,   ///< all layers, if `use_sliding_window`
  by_layers,  ///< the layers that `layer_types` calls sliding
};

WindowRule rule_of(Family family) {
  switch (family) {
    case Family::olmoe:
    case Family::llama:
      return WindowRule::none;
    case Family::mixtral:
    case Family::mistral:
      return WindowRule::all;
    case Family::qwen3_moe:
      return WindowRule::switched;
    case Family::qwen2_moe:
    case Family::qwen2:
    case Family::qwen3:
      return WindowRule::by_layers;
  }
  return WindowRule::none;
}

/// What transformers puts in the place of an absent `layer_types`.
bool is_windowed(Family family, std::int64_t layer, std::int64_t max_window_layers) {
  if (family == Family::qwen2_moe) return layer % 2 == 0 && layer < max_window_layers;
  return layer >= max_window_layers;
}

std::vector<bool> windowed_layers(JsonKeys& keys, Family family, std::int64_t layers, bool is_on) {
  constexpr std::int64_t kClassDefault = 28;
  const std::int64_t most = keys.integer("max_window_layers", 0).value_or(kClassDefault);
  std::vector<bool> windowed;
  for (std::int64_t layer = 0; layer < layers; ++layer)
    windowed.push_back(is_on && is_windowed(family, layer, most));
  const json* types = keys.list("layer_types");
  if (types == nullptr) return windowed;
  if (std::ssize(*types) != layers) {
    keys.refuse("layer_types", fmt::format("must name the {} layers", layers));
    return windowed;
  }
  for (std::size_t layer = 0; layer < types->size(); ++layer) {
    windowed[layer] = (*types)[layer] == "sliding_attention";
    if (!windowed[layer] && (*types)[layer] != "full_attention")
      keys.refuse("layer_types", "must hold full_attention and sliding_attention only");
    if (windowed[layer] && !is_on) {
      keys.refuse("layer_types", "must not hold sliding_attention where there is no window");
      break;
    }
  }
  return windowed;
}

/// In families whose layers are all alike.
void refuse_other_layers(JsonKeys& keys, std::string_view type) {
  const json* types = keys.list("layer_types");
  if (types == nullptr) return;
  if (std::ranges::any_of(*types, [&](const json& one) { return one != type; }))
    keys.refuse("layer_types", fmt::format("must all be {}", type));
}

std::set<std::int64_t> sizes(const moe::ModelConfig& model, bool with_none) {
  std::set<std::int64_t> found;
  for (std::int64_t layer = 0; layer < model.layers; ++layer)
    if (const std::int64_t window = moe::sliding_window(model, layer); with_none || window > 0)
      found.insert(window);
  return found;
}

}  // namespace

void read_windows(JsonKeys& keys, const FamilyTraits& traits, moe::ModelConfig& model) {
  const WindowRule rule = rule_of(traits.family);
  if (rule == WindowRule::none) return refuse_other_layers(keys, "full_attention");
  const bool has_switch = rule != WindowRule::all;
  const bool is_on = !has_switch || keys.boolean("use_sliding_window").value_or(false);
  constexpr std::int64_t kClassDefault = 4096;  // Mixtral alone has none
  const bool is_none =
      keys.is_null("sliding_window") || (traits.family == Family::mixtral && !keys.has("sliding_window"));
  // A size that is not used may be anything: transformers itself writes 0 there.
  const std::int64_t size = is_none || !is_on ? 0 : keys.integer("sliding_window").value_or(kClassDefault);
  keys.ignore("sliding_window");
  if (rule == WindowRule::by_layers) {
    const std::vector<bool> windowed = windowed_layers(keys, traits.family, model.layers, size > 0);
    model.sliding_window.clear();
    for (const bool is_windowed : windowed) model.sliding_window.push_back(is_windowed ? size : 0);
  } else {
    keys.ignore("max_window_layers");
    refuse_other_layers(keys, size > 0 ? "sliding_attention" : "full_attention");
    model.sliding_window = {size};
  }
  const std::set<std::int64_t> found(model.sliding_window.begin(), model.sliding_window.end());
  if (found.size() == 1) model.sliding_window = {*found.begin()};
}

std::string window_obstacle(const FamilyTraits& traits, const moe::ModelConfig& model) {
  const WindowRule rule = rule_of(traits.family);
  const auto got = [&] { return fmt::format("got [{}]", fmt::join(model.sliding_window, ", ")); };
  if (rule == WindowRule::none && !sizes(model, false).empty())
    return "model.sliding_window must be 0; " + got();
  if (rule == WindowRule::by_layers && sizes(model, false).size() > 1)
    return "model.sliding_window must be of one size in the layers that have one; " + got();
  if ((rule == WindowRule::all || rule == WindowRule::switched) && sizes(model, true).size() > 1)
    return "model.sliding_window must be the same in all layers; " + got();
  return {};
}

void write_windows(nlohmann::ordered_json& config, const FamilyTraits& traits,
                   const moe::ModelConfig& model) {
  const WindowRule rule = rule_of(traits.family);
  if (rule == WindowRule::none) return;
  const std::set<std::int64_t> found = sizes(model, false);
  if (rule != WindowRule::all) config["use_sliding_window"] = !found.empty();
  config["sliding_window"] = nullptr;
  if (!found.empty()) config["sliding_window"] = *found.begin();
  if (rule != WindowRule::by_layers) return;
  config["layer_types"] = json::array();
  for (std::int64_t layer = 0; layer < model.layers; ++layer)
    config["layer_types"].push_back(moe::sliding_window(model, layer) > 0 ? "sliding_attention"
                                                                          : "full_attention");
}

}  // namespace switchyard::app
