#include "kernels/ops/cross_entropy.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/rows/cross_entropy.h"

namespace switchyard::kernels {

template <>
void CrossEntropy<Backend::cuda>::forward(Context& context, TensorView loss, TensorView lse,
                                          ConstTensorView logits, ConstTensorView targets) {
  cuda::cross_entropy_forward(cuda::stream_of(context), logits.dim(0), logits.dim(1), loss.data<float>(),
                              lse.data<float>(), logits.data<float>(), targets.data<std::int32_t>());
}

template <>
void CrossEntropy<Backend::cuda>::backward(Context& context, TensorView dlogits, ConstTensorView logits,
                                           ConstTensorView targets, ConstTensorView lse, float scale) {
  cuda::cross_entropy_backward(cuda::stream_of(context), logits.dim(0), logits.dim(1), dlogits.dtype(),
                               dlogits.raw(), logits.data<float>(), targets.data<std::int32_t>(),
                               lse.data<float>(), scale);
}

}  // namespace switchyard::kernels
