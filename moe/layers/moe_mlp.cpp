#include "moe/layers/moe_mlp.h"

#include "kernels/ops/elementwise.h"
#include "kernels/ops/permute.h"
#include "moe/layers/wide_linear.h"

namespace switchyard::moe {

namespace {

// The shared expert's contribution: y = base + gate * mlp(x).
void shared_forward(LayerContext& layer, const MoeParameters& parameters, TensorView y, ConstTensorView x,
                    ConstTensorView base, MoeSaved& saved) {
  const std::int64_t N = x.dim(0), C = x.dim(1);
  saved.shared_out = layer.activations.tensor(layer.A(), {N, C});
  mlp_forward(layer, parameters.shared, saved.shared_out, x, saved.shared);
  if (parameters.shared_gate == nullptr) {
    kernels::add(layer.kernels, y, base, saved.shared_out);
    return;
  }
  saved.gate = layer.activations.tensor(DType::f32, {N, 1});
  wide_linear_forward(layer, saved.gate, x, parameters.shared_gate->weight);
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
  const TensorView dshared = scratch.tensor(layer.A(), {N, C});
  const TensorView dgate = scratch.tensor(DType::f32, {N, 1});
  kernels::row_gate_backward(layer.kernels, dshared, dgate, dy, saved.shared_out, saved.gate);
  wide_linear_backward(layer, *parameters.shared_gate, dx, dgate, x);
  mlp_backward(layer, parameters.shared, dx, true, dshared, x, saved.shared);
}

}  // namespace

void moe_forward(LayerContext& layer, parallel::RowExchange& exchange, const MoeParameters& parameters,
                 TensorView y, ConstTensorView x, ConstTensorView base, const Routing& routing,
                 MoeSaved& saved) {
  const std::int64_t C = x.dim(1), K = layer.config.moe.top_k;
  saved.sorted = layer.activations.tensor(layer.A(), {routing.rows, C});
  saved.returned = layer.activations.tensor(layer.A(), {routing.rows, C});
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
  const TensorView dreturned = scratch.tensor(layer.A(), {routing.rows, C});
  const TensorView dsorted = scratch.tensor(layer.A(), {routing.rows, C});
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
  wide_linear_backward(layer, *parameters.router, dx, dlogits, x);
}

}  // namespace switchyard::moe
