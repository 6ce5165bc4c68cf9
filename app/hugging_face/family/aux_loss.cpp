#include "app/hugging_face/family/aux_loss.h"

#include <algorithm>

namespace switchyard::app {

namespace {

double choices_per_layer(const moe::ModelConfig& model) {
  std::int64_t layers = 0;
  for (std::int64_t l = 0; l < model.layers; ++l) layers += moe::is_moe_layer(model, l) ? 1 : 0;
  return static_cast<double>(model.moe.top_k) / static_cast<double>(std::max<std::int64_t>(1, layers));
}

}  // namespace

double our_aux_loss(const moe::ModelConfig& model, double coefficient) {
  return coefficient * choices_per_layer(model);
}

double their_aux_loss(const moe::ModelConfig& model) {
  return model.moe.aux_loss / choices_per_layer(model);
}

}  // namespace switchyard::app
