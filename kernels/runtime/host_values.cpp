#include "kernels/runtime/host_values.h"

namespace switchyard::kernels {

HostValues::HostValues(Context& context, ConstTensorView tensor) : view_(tensor) {
  if (tensor.device() == Device::cpu) return;
  copy_.resize(tensor.bytes());
  const TensorView own(copy_.data(), tensor.dtype(), tensor.shape());
  copy(context, own, tensor);
  view_ = own;
}

HostEdit::HostEdit(Context& context, TensorView tensor) : context_(context), tensor_(tensor), view_(tensor) {
  if (tensor.device() == Device::cpu) return;
  copy_.resize(tensor.bytes());
  view_ = {copy_.data(), tensor.dtype(), tensor.shape()};
  copy(context, view_, tensor);
}

}  // namespace switchyard::kernels
