#include "kernels/ops/embedding.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/rows/embedding.h"

namespace switchyard::kernels {

template <>
void Embedding<Backend::cuda>::forward(Context& context, TensorView x, ConstTensorView tokens,
                                       ConstTensorView weight) {
  cuda::embedding_forward(cuda::stream_of(context), x.dim(0), x.dim(1), x.dtype(), x.raw(),
                          tokens.data<std::int32_t>(), weight.raw());
}

template <>
void Embedding<Backend::cuda>::backward(Context& context, const GradientSum& dweight, ConstTensorView dx,
                                        ConstTensorView tokens) {
  cuda::embedding_backward(cuda::stream_of(context), dx.dim(0), dx.dim(1), dx.dtype(), cuda::plain(dweight),
                           dx.raw(), tokens.data<std::int32_t>());
}

}  // namespace switchyard::kernels
