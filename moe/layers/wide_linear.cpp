#include "moe/layers/wide_linear.h"

#include "kernels/ops/elementwise.h"
#include "kernels/ops/linear.h"

namespace switchyard::moe {

namespace {

ConstTensorView as_f32(LayerContext& layer, kernels::ArenaScope& scratch, ConstTensorView x) {
  if (x.dtype() == DType::f32) return x;
  const TensorView wide = scratch.tensor(DType::f32, x.shape());
  kernels::convert(layer.kernels, wide, x);
  return wide;
}

}  // namespace

void wide_linear_forward(LayerContext& layer, TensorView y, ConstTensorView x, ConstTensorView weight) {
  kernels::ArenaScope scratch(layer.activations);
  kernels::linear_forward(layer.kernels, y, as_f32(layer, scratch, x), weight, {});
}

void wide_linear_backward(LayerContext& layer, const Parameter& parameter, TensorView dx, ConstTensorView dy,
                          ConstTensorView x) {
  kernels::ArenaScope scratch(layer.activations);
  if (dx.dtype() == DType::f32) {
    kernels::linear_backward_data(layer.kernels, dx, dy, parameter.weight, kernels::Write::add);
  } else {
    const TensorView more = scratch.tensor(DType::f32, dx.shape());
    kernels::linear_backward_data(layer.kernels, more, dy, parameter.weight, kernels::Write::overwrite);
    kernels::add(layer.kernels, dx, dx, more);
  }
  kernels::linear_backward_weight(layer.kernels, parameter.gradient, dy, as_f32(layer, scratch, x));
}

}  // namespace switchyard::moe
