#include "app/hugging_face/family/dense_layers.h"

namespace switchyard::app {

bool all_sparse(const DenseLayers& layers) {
  for (std::int64_t l = 0; l < layers.layers; ++l)
    if (!layers.is_sparse(l)) return false;
  return true;
}

bool to_our_rule(const DenseLayers& layers, moe::MoeConfig& moe) {
  // The first two layers with experts fix both numbers.
  std::int64_t first = layers.layers, second = layers.layers;
  for (std::int64_t l = layers.layers - 1; l >= 0; --l) {
    if (!layers.is_sparse(l)) continue;
    second = first;
    first = l;
  }
  moe::ModelConfig trial;
  trial.layers = layers.layers;
  trial.moe = moe;
  trial.moe.experts = 1;  // any: a layer is asked for, not a number
  if (first == layers.layers) {
    trial.moe.every = 1;
    trial.moe.first_dense_layers = layers.layers;
  } else {  // second is layers.layers where there is one layer with experts: no other may follow it
    trial.moe.every = second - first;
    trial.moe.first_dense_layers = first + 1 - trial.moe.every;
  }
  if (trial.moe.first_dense_layers < 0) return false;
  for (std::int64_t l = 0; l < layers.layers; ++l)
    if (moe::is_moe_layer(trial, l) != layers.is_sparse(l)) return false;
  moe.every = trial.moe.every;
  moe.first_dense_layers = trial.moe.first_dense_layers;
  return true;
}

DenseLayers from_our_rule(const moe::ModelConfig& model) {
  DenseLayers layers;
  layers.layers = model.layers;
  if (model.moe.first_dense_layers == 0) {
    layers.step = model.moe.every;
    return layers;
  }
  for (std::int64_t l = 0; l < model.layers; ++l)
    if (!moe::is_moe_layer(model, l)) layers.dense.insert(l);
  return layers;
}

}  // namespace switchyard::app
