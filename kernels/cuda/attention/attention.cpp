#include "kernels/ops/attention.h"

#include <algorithm>

#include "kernels/cuda/attention/kernels.h"
#include "kernels/cuda/runtime/stream.h"

namespace switchyard::kernels {

namespace {

cuda::AttentionShape shape_of(ConstTensorView q, ConstTensorView k, float scale, std::int64_t window) {
  if (q.dim(3) > cuda::kPlainHead)
    throw DeviceError(
        fmt::format("cuda: attention heads are at most {} wide; got {}. Use more heads (model.heads), or "
                    "set run.device: cpu",
                    cuda::kPlainHead, q.dim(3)));
  const auto narrow = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
  return {narrow(q.dim(0)),
          narrow(q.dim(1)),
          narrow(k.dim(1)),
          narrow(q.dim(2)),
          narrow(k.dim(2)),
          narrow(q.dim(3)),
          scale,
          narrow(std::min(window, k.dim(1)))};
}

}  // namespace

template <>
void Attention<Backend::cuda>::forward(Context& context, TensorView y, TensorView lse, ConstTensorView q,
                                       ConstTensorView k, ConstTensorView v, float scale,
                                       std::int64_t window) {
  if (q.elements() == 0) return;
  const cuda::AttentionShape shape = shape_of(q, k, scale, window);
  const cuda::AttentionForward tensors{y.raw(), lse.data<float>(), q.raw(), k.raw(), v.raw()};
  if (cuda::attention_form(q.dtype(), q.dim(3)) == cuda::AttentionForm::warp)
    return cuda::attention_forward_warp(cuda::stream_of(context), shape, tensors);
  cuda::attention_forward_plain(cuda::stream_of(context), shape, tensors, q.dtype());
}

template <>
void Attention<Backend::cuda>::backward(Context& context, TensorView dq, TensorView dk, TensorView dv,
                                        ConstTensorView dy, ConstTensorView q, ConstTensorView k,
                                        ConstTensorView v, ConstTensorView y, ConstTensorView lse,
                                        float scale, std::int64_t window) {
  if (q.elements() == 0) return;
  const cuda::AttentionShape shape = shape_of(q, k, scale, window);
  ArenaScope scope(context.scratch());
  const cuda::AttentionBackward tensors{
      dq.raw(), dk.raw(),         dv.raw(), scope.tensor(DType::f32, lse.shape()).data<float>(),
      dy.raw(), q.raw(),          k.raw(),  v.raw(),
      y.raw(),  lse.data<float>()};
  cuda::attention_delta(cuda::stream_of(context), shape, tensors, q.dtype());
  if (cuda::attention_form(q.dtype(), q.dim(3)) == cuda::AttentionForm::warp)
    return cuda::attention_backward_warp(cuda::stream_of(context), shape, tensors);
  cuda::attention_backward_plain(cuda::stream_of(context), shape, tensors, q.dtype());
}

}  // namespace switchyard::kernels
