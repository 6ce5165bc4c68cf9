#include "kernels/runtime/transfer.h"

#include <cstring>

namespace switchyard::kernels {

void copy(Context& context, TensorView to, ConstTensorView from) {
  SWITCHYARD_CHECK(to.dtype() == from.dtype() && to.elements() == from.elements(),
                   "copy: {} {} cannot become {} {}", dtype_name(from.dtype()), from.shape().text(),
                   dtype_name(to.dtype()), to.shape().text());
  const std::size_t bytes = from.bytes();
  if (bytes == 0 || to.raw() == from.raw()) return;
  if (to.device() == Device::cpu && from.device() == Device::cpu) {
    std::memmove(to.raw(), from.raw(), bytes);
    return;
  }
  SWITCHYARD_CHECK(context.queue() != nullptr, "copy: a context of the CPU cannot reach device memory of {}",
                   bytes);
  if (to.device() == from.device()) {
    context.queue()->copy_on_device(to.raw(), from.raw(), bytes);
  } else if (to.device() == Device::cuda) {
    context.staging().upload(to.raw(), from.raw(), bytes);
  } else {
    context.staging().download(to.raw(), from.raw(), bytes);
  }
}

void clear(Context& context, TensorView tensor) {
  if (tensor.bytes() == 0) return;
  if (tensor.device() == Device::cpu) {
    std::memset(tensor.raw(), 0, tensor.bytes());
    return;
  }
  SWITCHYARD_CHECK(context.queue() != nullptr, "clear: a context of the CPU cannot reach device memory of {}",
                   tensor.bytes());
  context.queue()->fill(tensor.raw(), 0, tensor.bytes());
}

}  // namespace switchyard::kernels
