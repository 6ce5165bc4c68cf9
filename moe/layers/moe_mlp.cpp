#include "moe/layers/moe_mlp.h"

#include "kernels/ops/elementwise.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/permute.h"

namespace switchyard::moe {

namespace {

// The shared expert's contribution: y = base + gate * mlp(x).
void shared_forward(LayerContext& layer, const MoeParameters& parameters, TensorView y, ConstTensorView x,
                    ConstTensorView base, MoeSaved& saved) {
  const std::int64_t N = x.dim(0), C = x.dim(1);
  saved.shared_out = layer.activations.tensor(DType::f32, {N, C});
  mlp_forward(layer, parameters.shared, saved.shared_out, x, saved.shared);
  if (parameters.shared_gate == nullptr) {
    kernels::add(layer.kernels, y, base, saved.shared_out);
    return;
  }
  saved.gate = layer.activations.tensor(DType::f32, {N, 1});
  kernels::linear_forward(layer.kernels, saved.gate, x, parameters.shared_gate->weight, {});
  kernels::row_gate_forward(layer.kernels, y, saved.shared_out, saved.gate);
  kernels::add(layer.kernels, y, base, y);
}

// Adds the gradient through the shared expert to dx.
void shared_backward(LayerContext& layer, const MoeParameters& parameters, TensorView dx, ConstTensorView dy,
                     ConstTensorView x, const MoeSaved& saved) {
  const std::int64_t N = x.dim(0), C = x.dim(1);
  if (parameters.shared_gate == nullptr) {
    mlp_backward(layer, parameters.shared, dx, true, dy, x, saved.shared);
    return;
  }
  kernels::ArenaScope scratch(layer.activations);
  const TensorView dshared = scratch.tensor(DType::f32, {N, C});
  const TensorView dgate = scratch.tensor(DType::f32, {N, 1});
  kernels::row_gate_backward(layer.kernels, dshared, dgate, dy, saved.shared_out, saved.gate);
  kernels::linear_backward_data(layer.kernels, dx, dgate, parameters.shared_gate->weight,
                                kernels::Write::add);
  kernels::linear_backward_weight(layer.kernels, parameters.shared_gate->gradient, dgate, x);
  mlp_backward(layer, parameters.shared, dx, true, dshared, x, saved.shared);
}

}  // namespace

void moe_forward(LayerContext& layer, parallel::RowExchange& exchange, const MoeParameters& parameters,
                 TensorView y, ConstTensorView x, ConstTensorView base, const Routing& routing,
                 MoeSaved& saved) {
  const std::int64_t C = x.dim(1), K = layer.config.moe.top_k;
  saved.sorted = layer.activations.tensor(DType::f32, {routing.rows, C});
  saved.returned = layer.activations.tensor(DType::f32, {routing.rows, C});
  kernels::gather_rows_forward(layer.kernels, saved.sorted, x, routing.slot_of_row, K);
  experts_forward(layer, exchange, parameters.experts, saved.returned, saved.sorted, routing.count,
                  saved.experts);
  layer.kernels.place().computed(kernels::Site::experts, saved.returned);
  layer.kernels.place().computed(kernels::Site::router, routing.weight);
  if (layer.config.moe.shared_experts > 0) {
    shared_forward(layer, parameters, y, x, base, saved);
    base = y;
  }
  kernels::combine_rows_forward(layer.kernels, y, saved.returned, routing.weight, routing.row_of_slot, base);
}

void moe_backward(LayerContext& layer, parallel::RowExchange& exchange, const MoeParameters& parameters,
                  TensorView dx, ConstTensorView dy, ConstTensorView x, const Routing& routing,
                  const MoeSaved& saved) {
  const std::int64_t N = x.dim(0), C = x.dim(1), E = layer.config.moe.experts, K = layer.config.moe.top_k;
  kernels::ArenaScope scratch(layer.activations);
  const TensorView dreturned = scratch.tensor(DType::f32, {routing.rows, C});
  const TensorView dsorted = scratch.tensor(DType::f32, {routing.rows, C});
  const TensorView dweight = scratch.tensor(DType::f32, {N, K});
  const TensorView dlogits = scratch.tensor(DType::f32, {N, E});
  kernels::combine_rows_backward(layer.kernels, dreturned, dweight, dy, saved.returned, routing.weight,
                                 routing.row_of_slot);
  experts_backward(layer, exchange, parameters.experts, dsorted, dreturned, saved.sorted, saved.experts);
  layer.kernels.place().computed(kernels::Site::experts_gradient, dsorted);
  kernels::gather_rows_backward(layer.kernels, dx, dsorted, routing.row_of_slot);
  if (layer.config.moe.shared_experts > 0) shared_backward(layer, parameters, dx, dy, x, saved);
  route_backward(layer, dlogits, dweight, routing);
  layer.kernels.place().computed(kernels::Site::router_gradient, dlogits);
  kernels::linear_backward_data(layer.kernels, dx, dlogits, parameters.router->weight, kernels::Write::add);
  kernels::linear_backward_weight(layer.kernels, parameters.router->gradient, dlogits, x);
}

}  // namespace switchyard::moe
