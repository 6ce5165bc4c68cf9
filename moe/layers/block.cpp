#include "moe/layers/block.h"

#include "kernels/ops/elementwise.h"
#include "kernels/ops/rms_norm.h"

namespace switchyard::moe {

namespace {

void attention_half(LayerContext& layer, const BlockParameters& parameters, ConstTensorView x,
                    BlockSaved& saved, KvCache* cache) {
  const std::int64_t N = layer.unit.N(), C = layer.config.width;
  saved.middle = layer.activations.tensor(layer.A(), {N, C});
  attention_forward(layer, parameters.attention, saved.middle, x, saved.attention, cache);
  layer.kernels.place().computed(kernels::Site::attention, saved.middle);
  saved.normed = layer.activations.tensor(layer.A(), {N, C});
  saved.rstd = layer.activations.tensor(DType::f32, {N});
  kernels::rms_norm_forward(layer.kernels, saved.normed, saved.rstd, saved.middle,
                            parameters.mlp_norm->weight, static_cast<float>(layer.config.norm_epsilon));
  layer.kernels.place().computed(kernels::Site::norm, saved.normed);
}

void mlp_half(LayerContext& layer, parallel::RowExchange& exchange, const BlockParameters& parameters,
              TensorView y, BlockSaved& saved) {
  if (parameters.is_moe) {
    moe_forward(layer, exchange, parameters.moe, y, saved.normed, saved.middle, saved.routing, saved.moe);
  } else {
    mlp_forward(layer, parameters.mlp, y, saved.normed, saved.mlp);
    kernels::add(layer.kernels, y, saved.middle, y);
  }
}

}  // namespace

void block_forward(LayerContext& layer, parallel::RowExchange& exchange, const BlockParameters& parameters,
                   TensorView y, ConstTensorView x, BlockSaved& saved, RoutingStatistics& statistics,
                   Recompute recompute, KvCache* cache) {
  saved.x = {const_cast<void*>(x.raw()), x.dtype(), x.shape(), x.device()};
  // With recomputation everything but the routing goes to scratch. Routing needs the attention half first, so
  // it is decided on scratch values and kept in the activation arena.
  kernels::ArenaScope scratch(layer.kernels.scratch());
  LayerContext inner =
      recompute == Recompute::block ? layer.with_activations(layer.kernels.scratch()) : layer;
  attention_half(inner, parameters, x, saved, cache);
  if (parameters.is_moe)
    saved.routing =
        route(layer, saved.normed, parameters.moe.router->weight, parameters.balancing_bias, statistics);
  mlp_half(inner, exchange, parameters, y, saved);
}

void block_backward(LayerContext& layer, parallel::RowExchange& exchange, const BlockParameters& parameters,
                    TensorView dx, ConstTensorView dy, BlockSaved& saved, Recompute recompute) {
  const std::int64_t N = layer.unit.N(), C = layer.config.width;
  kernels::ArenaScope scratch(layer.activations);
  if (recompute == Recompute::block) {
    attention_half(layer, parameters, saved.x, saved, nullptr);
    const TensorView y = layer.activations.tensor(layer.A(), {N, C});
    mlp_half(layer, exchange, parameters, y, saved);
  }
  const TensorView dnormed = scratch.tensor(layer.A(), {N, C});
  if (parameters.is_moe) {
    moe_backward(layer, exchange, parameters.moe, dnormed, dy, saved.normed, saved.routing, saved.moe);
  } else {
    mlp_backward(layer, parameters.mlp, dnormed, false, dy, saved.normed, saved.mlp);
  }
  const TensorView dmiddle = scratch.tensor(layer.A(), {N, C});
  kernels::rms_norm_backward(layer.kernels, dmiddle, parameters.mlp_norm->gradient, dnormed, saved.middle,
                             parameters.mlp_norm->weight, saved.rstd, dy);
  layer.kernels.place().computed(kernels::Site::norm_gradient, dmiddle);
  attention_backward(layer, parameters.attention, dx, dmiddle, saved.x, saved.attention);
  layer.kernels.place().computed(kernels::Site::attention_gradient, dx);
}

}  // namespace switchyard::moe
