#include "moe/layers/mlp.h"

#include "kernels/ops/linear.h"
#include "kernels/ops/swiglu.h"

namespace switchyard::moe {

void mlp_forward(LayerContext& layer, const MlpParameters& parameters, TensorView y, ConstTensorView x,
                 MlpSaved& saved) {
  const std::int64_t N = x.dim(0), F = parameters.down->weight.dim(1);
  saved.gate_up = layer.activations.tensor(layer.A(), {N, 2 * F});
  saved.hidden = layer.activations.tensor(layer.A(), {N, F});
  kernels::linear_forward(layer.kernels, saved.gate_up, x, parameters.gate_up->weight, {});
  kernels::swiglu_forward(layer.kernels, saved.hidden, saved.gate_up);
  kernels::linear_forward(layer.kernels, y, saved.hidden, parameters.down->weight, {});
}

void mlp_backward(LayerContext& layer, const MlpParameters& parameters, TensorView dx, bool add_to_dx,
                  ConstTensorView dy, ConstTensorView x, const MlpSaved& saved) {
  const std::int64_t N = x.dim(0), F = parameters.down->weight.dim(1);
  kernels::ArenaScope scratch(layer.activations);
  const TensorView dhidden = scratch.tensor(layer.A(), {N, F});
  const TensorView dgate_up = scratch.tensor(layer.A(), {N, 2 * F});
  kernels::linear_backward_data(layer.kernels, dhidden, dy, parameters.down->weight,
                                kernels::Write::overwrite);
  kernels::linear_backward_weight(layer.kernels, parameters.down->gradient, dy, saved.hidden);
  kernels::swiglu_backward(layer.kernels, dgate_up, dhidden, saved.gate_up);
  kernels::linear_backward_data(layer.kernels, dx, dgate_up, parameters.gate_up->weight,
                                add_to_dx ? kernels::Write::add : kernels::Write::overwrite);
  kernels::linear_backward_weight(layer.kernels, parameters.gate_up->gradient, dgate_up, x);
}

}  // namespace switchyard::moe
