#include "app/hugging_face/family/read_rope.h"

#include <fmt/format.h>

namespace switchyard::app {

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

}  // namespace

void read_rope(JsonKeys& keys, const FamilyTraits& traits, Refusals& refusals, moe::ModelConfig& model) {
  const double outer_theta = keys.number("rope_theta").value_or(traits.default_theta);
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
  if (type != "default")
    inner.refuse(has_new_name ? "rope_type" : "type", "must be default: scaled positions are not supported");
  for (const std::string& path : inner.unread())
    refusals.push_back(fmt::format("{}: is not supported", path));
}

}  // namespace switchyard::app
