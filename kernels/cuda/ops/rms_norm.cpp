#include "kernels/ops/rms_norm.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/rows/rms_norm.h"

namespace switchyard::kernels {

template <>
void RmsNorm<Backend::cuda>::forward(Context& context, TensorView y, TensorView rstd, ConstTensorView x,
                                     ConstTensorView weight, float epsilon) {
  cuda::rms_norm_forward(cuda::stream_of(context), {x.dim(0), x.dim(1), x.dtype()}, y.raw(),
                         rstd.data<float>(), x.raw(), weight.data<float>(), epsilon);
}

template <>
void RmsNorm<Backend::cuda>::backward(Context& context, TensorView dx, const GradientSum& dweight,
                                      ConstTensorView dy, ConstTensorView x, ConstTensorView weight,
                                      ConstTensorView rstd, ConstTensorView dresidual) {
  cuda::rms_norm_backward(cuda::stream_of(context), {x.dim(0), x.dim(1), x.dtype()}, dx.raw(),
                          cuda::plain(dweight), dy.raw(), x.raw(), weight.data<float>(), rstd.data<float>(),
                          dresidual.raw());
}

}  // namespace switchyard::kernels
