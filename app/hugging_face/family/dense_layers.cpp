#include "app/hugging_face/family/dense_layers.h"

namespace switchyard::app {

bool all_sparse(const DenseLayers& layers) {
  for (std::int64_t l = 0; l < layers.layers; ++l)
    if (!layers.is_sparse(l)) return false;
  return true;
}

namespace {

// Sets first_dense_layers and every; false, and `moe` is as it was, if they cannot say it.
bool say_in_two_numbers(const DenseLayers& layers, moe::MoeConfig& moe) {
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
  trial.moe.dense_layers.clear();
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

}  // namespace

void to_our_rule(const DenseLayers& layers, moe::MoeConfig& moe) {
  moe.dense_layers.clear();
  if (say_in_two_numbers(layers, moe)) return;
  moe.first_dense_layers = 0;
  moe.every = layers.step;
  for (const std::int64_t layer : layers.dense)
    if (layer >= 0 && layer < layers.layers) moe.dense_layers.push_back(layer);
}

DenseLayers from_our_rule(const moe::ModelConfig& model) {
  DenseLayers layers;
  layers.layers = model.layers;
  if (model.moe.first_dense_layers == 0 && model.moe.dense_layers.empty()) {
    layers.step = model.moe.every;
    return layers;
  }
  for (std::int64_t l = 0; l < model.layers; ++l)
    if (!moe::is_moe_layer(model, l)) layers.dense.insert(l);
  return layers;
}

}  // namespace switchyard::app
