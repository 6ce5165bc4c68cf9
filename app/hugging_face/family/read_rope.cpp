#include "app/hugging_face/family/read_rope.h"

#include <fmt/format.h>

#include <cmath>

namespace switchyard::app {

using kernels::RopeScaling;
using kernels::RopeScalingKind;
using nlohmann::json;

namespace {

/// A null or empty rope_scaling leaves the word to rope_parameters.
const json* rope_object(JsonKeys& keys, std::string& name) {
  const json* scaling = keys.object("rope_scaling");
  const json* parameters = keys.object("rope_parameters");
  const bool has_scaling = scaling != nullptr && !scaling->empty();
  name = has_scaling ? "rope_scaling." : "rope_parameters.";
  return has_scaling ? scaling : parameters;
}

class ScalingReader {
 public:
  /// `outer_length`: original_max_position_embeddings beside the object, which wins where it is given.
  ScalingReader(JsonKeys& inner, std::optional<std::int64_t> outer_length, std::int64_t max_positions)
      : inner_(inner), outer_length_(outer_length), max_positions_(max_positions) {}

  RopeScaling linear() {
    RopeScaling scaling{.kind = RopeScalingKind::linear};
    scaling.factor = factor();
    return scaling;
  }

  RopeScaling llama3() {
    RopeScaling scaling{.kind = RopeScalingKind::llama3};
    scaling.original_length = original_length();
    scaling.factor = factor();
    scaling.low_frequency_factor = positive("low_freq_factor");
    scaling.high_frequency_factor = positive("high_freq_factor");
    if (scaling.high_frequency_factor <= scaling.low_frequency_factor)
      inner_.refuse("high_freq_factor", "must be greater than low_freq_factor");
    return scaling;
  }

  RopeScaling yarn() {
    RopeScaling scaling{.kind = RopeScalingKind::yarn};
    scaling.original_length = original_length();
    scaling.factor = inner_.has("factor")
                         ? factor()
                         : static_cast<double>(max_positions_) / static_cast<double>(scaling.original_length);
    // 0 counts as absent, as it does in transformers.
    if (const double beta = inner_.number("beta_fast").value_or(0); beta != 0) scaling.beta_fast = beta;
    if (const double beta = inner_.number("beta_slow").value_or(0); beta != 0) scaling.beta_slow = beta;
    if (scaling.beta_slow <= 0 || scaling.beta_fast <= scaling.beta_slow)
      inner_.refuse("beta_fast", "must be greater than beta_slow, and both above 0");
    scaling.truncate = inner_.boolean("truncate").value_or(true);
    const double numerator = inner_.number("mscale").value_or(0);
    const double denominator = inner_.number("mscale_all_dim").value_or(0);
    if (inner_.has("attention_factor"))
      scaling.attention_factor = positive("attention_factor");
    else if (numerator != 0 && denominator != 0)
      scaling.attention_factor = growth(scaling.factor, numerator) / growth(scaling.factor, denominator);
    return scaling;
  }

 private:
  static double growth(double factor, double scale) {
    return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
  }

  double positive(std::string_view key) {
    const auto value = inner_.number(key);
    if (value && *value > 0) return *value;
    inner_.refuse(key, "must be given, and above 0");
    return 1;
  }
  double factor() {
    const double value = positive("factor");
    if (value < 1) inner_.refuse("factor", "must be at least 1");
    return value;
  }
  std::int64_t original_length() {
    const auto own = inner_.integer("original_max_position_embeddings");
    return outer_length_ ? *outer_length_ : own.value_or(max_positions_);
  }

  JsonKeys& inner_;
  std::optional<std::int64_t> outer_length_;
  std::int64_t max_positions_;
};

}  // namespace

void read_rope(JsonKeys& keys, const FamilyTraits& traits, Refusals& refusals, moe::ModelConfig& model) {
  const double outer_theta = keys.number("rope_theta").value_or(traits.default_theta);
  const auto outer_length = keys.integer("original_max_position_embeddings");
  if (keys.number("partial_rotary_factor").value_or(1) != 1)
    keys.refuse("partial_rotary_factor", "must be 1: rotating a part of a head is not supported");
  model.rope_theta = outer_theta;
  std::string name;
  const json* object = rope_object(keys, name);
  if (object == nullptr) return;
  JsonKeys inner(*object, name, refusals);
  model.rope_theta = inner.number("rope_theta").value_or(outer_theta);
  if (inner.number("partial_rotary_factor").value_or(1) != 1)
    inner.refuse("partial_rotary_factor", "must be 1: rotating a part of a head is not supported");
  const bool has_new_name = inner.has("rope_type");
  const std::string type = inner.text("rope_type").value_or(inner.text("type").value_or("default"));
  ScalingReader scaling(inner, outer_length, model.max_sequence_length);
  if (type == "linear")
    model.rope_scaling = scaling.linear();
  else if (type == "llama3")
    model.rope_scaling = scaling.llama3();
  else if (type == "yarn")
    model.rope_scaling = scaling.yarn();
  else if (type != "default")
    inner.refuse(has_new_name ? "rope_type" : "type", "must be default, linear, llama3 or yarn");
  for (const std::string& path : inner.unread())
    refusals.push_back(fmt::format("{}: is not supported", path));
}

nlohmann::ordered_json rope_description(const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScalingKind::none:
      return nullptr;
    case RopeScalingKind::linear:
      return {{"rope_type", "linear"}, {"factor", scaling.factor}};
    case RopeScalingKind::llama3:
      return {{"rope_type", "llama3"},
              {"factor", scaling.factor},
              {"low_freq_factor", scaling.low_frequency_factor},
              {"high_freq_factor", scaling.high_frequency_factor},
              {"original_max_position_embeddings", scaling.original_length}};
    case RopeScalingKind::yarn:
      return {{"rope_type", "yarn"},
              {"factor", scaling.factor},
              {"original_max_position_embeddings", scaling.original_length},
              {"attention_factor", kernels::rope_attention_factor(scaling)},
              {"beta_fast", scaling.beta_fast},
              {"beta_slow", scaling.beta_slow},
              {"truncate", scaling.truncate}};
  }
  return nullptr;
}

}  // namespace switchyard::app
