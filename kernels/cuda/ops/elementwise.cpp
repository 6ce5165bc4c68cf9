#include "kernels/ops/elementwise.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/rows/elementwise.h"

namespace switchyard::kernels {

namespace {
cuda::ConstFloats floats(ConstTensorView view) {
  return {view.raw(), view.dtype()};
}
}  // namespace

template <>
void Elementwise<Backend::cuda>::add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b) {
  cuda::add(cuda::stream_of(context), y.elements(), {y.raw(), y.dtype()}, floats(a), floats(b));
}

template <>
void Elementwise<Backend::cuda>::convert(Context& context, TensorView y, ConstTensorView x) {
  cuda::convert(cuda::stream_of(context), y.elements(), {y.raw(), y.dtype()}, floats(x));
}

template <>
void Elementwise<Backend::cuda>::row_gate_forward(Context& context, TensorView y, ConstTensorView x,
                                                  ConstTensorView gate) {
  cuda::row_gate_forward(cuda::stream_of(context), x.dim(0), x.dim(1), x.dtype(), y.raw(), x.raw(),
                         gate.data<float>());
}

template <>
void Elementwise<Backend::cuda>::row_gate_backward(Context& context, TensorView dx, TensorView dgate,
                                                   ConstTensorView dy, ConstTensorView x,
                                                   ConstTensorView gate) {
  cuda::row_gate_backward(cuda::stream_of(context), x.dim(0), x.dim(1), x.dtype(), dx.raw(),
                          dgate.data<float>(), dy.raw(), x.raw(), gate.data<float>());
}

template <>
void Elementwise<Backend::cuda>::clip_forward(Context& context, TensorView y, ConstTensorView x,
                                              float limit) {
  cuda::clip_forward(cuda::stream_of(context), x.elements(), x.dtype(), y.raw(), x.raw(), limit);
}

template <>
void Elementwise<Backend::cuda>::clip_backward(Context& context, TensorView dx, ConstTensorView dy,
                                               ConstTensorView x, float limit) {
  cuda::clip_backward(cuda::stream_of(context), x.elements(), x.dtype(), dx.raw(), dy.raw(), x.raw(), limit);
}

}  // namespace switchyard::kernels
