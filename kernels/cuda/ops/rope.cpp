#include "kernels/ops/rope.h"

#include "kernels/cuda/ops/plain.h"
#include "kernels/cuda/rows/rope.h"

namespace switchyard::kernels {

namespace {
void rotate(Context& context, TensorView x, ConstTensorView cosine, ConstTensorView sine,
            std::int64_t first_position, float sign) {
  const cuda::RopeShape shape{x.dim(0) * x.dim(1), x.dim(1), x.dim(2), x.dim(3), first_position, x.dtype()};
  cuda::rope(cuda::stream_of(context), shape, x.raw(), cosine.data<float>(), sine.data<float>(), sign);
}
}  // namespace

template <>
void Rope<Backend::cuda>::forward(Context& context, TensorView x, ConstTensorView cosine,
                                  ConstTensorView sine, std::int64_t first_position) {
  rotate(context, x, cosine, sine, first_position, 1.0F);
}

template <>
void Rope<Backend::cuda>::backward(Context& context, TensorView dx, ConstTensorView cosine,
                                   ConstTensorView sine, std::int64_t first_position) {
  rotate(context, dx, cosine, sine, first_position, -1.0F);
}

}  // namespace switchyard::kernels
