#include "kernels/ops/swiglu.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/rows/swiglu.h"

namespace switchyard::kernels {

template <>
void Swiglu<Backend::cuda>::forward(Context& context, TensorView h, ConstTensorView gate_up) {
  cuda::swiglu_forward(cuda::stream_of(context), h.dim(0), h.dim(1), h.dtype(), h.raw(), gate_up.raw());
}

template <>
void Swiglu<Backend::cuda>::backward(Context& context, TensorView dgate_up, ConstTensorView dh,
                                     ConstTensorView gate_up) {
  cuda::swiglu_backward(cuda::stream_of(context), dh.dim(0), dh.dim(1), dh.dtype(), dgate_up.raw(), dh.raw(),
                        gate_up.raw());
}

}  // namespace switchyard::kernels
