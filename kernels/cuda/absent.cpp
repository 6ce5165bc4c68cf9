// Stands in for the CUDA back end where the program is built without it: every op refuses by name.
#include "kernels/ops/rms_norm.h"

namespace switchyard::kernels {

namespace {
[[noreturn]] void absent(const char* op) {
  throw DeviceError(fmt::format(
      "{}: this program was built without CUDA; set run.device: cpu, or build the `cuda` preset", op));
}
}  // namespace

template <>
void RmsNorm<Backend::cuda>::forward(Context&, TensorView, TensorView, ConstTensorView, ConstTensorView,
                                     float) {
  absent("rms_norm_forward");
}
template <>
void RmsNorm<Backend::cuda>::backward(Context&, TensorView, const GradientSum&, ConstTensorView,
                                      ConstTensorView, ConstTensorView, ConstTensorView, ConstTensorView) {
  absent("rms_norm_backward");
}

}  // namespace switchyard::kernels
