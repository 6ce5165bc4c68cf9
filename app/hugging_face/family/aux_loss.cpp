#include "app/hugging_face/family/aux_loss.h"

#include <algorithm>

namespace switchyard::app {

void set_our_aux_loss(moe::ModelConfig& model, double coefficient) {
  model.moe.aux_loss = coefficient * static_cast<double>(model.moe.top_k);
  model.moe.aux_loss_over = coefficient > 0 ? moe::AuxLossOver::all_layers : moe::AuxLossOver::layer;
}

double their_aux_loss(const moe::ModelConfig& model) {
  const double of_one_layer = model.moe.aux_loss / static_cast<double>(model.moe.top_k);
  if (model.moe.aux_loss_over == moe::AuxLossOver::all_layers) return of_one_layer;
  return of_one_layer * static_cast<double>(std::max<std::int64_t>(1, moe::moe_layer_count(model)));
}

}  // namespace switchyard::app
