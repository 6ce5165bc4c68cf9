// Stands in for the CUDA products, attention and peak measurement where the program is built without CUDA.
#include "kernels/ops/attention.h"
#include "kernels/ops/grouped_linear.h"
#include "kernels/runtime/peak.h"

namespace switchyard::kernels {

namespace {
[[noreturn]] void absent(const char* op) {
  throw DeviceError(fmt::format(
      "{}: this program was built without CUDA; set run.device: cpu, or build the `cuda` preset", op));
}
}  // namespace

template <>
void Linear<Backend::cuda>::forward(Context&, TensorView, ConstTensorView, ConstTensorView, ConstTensorView) {
  absent("linear_forward");
}
template <>
void Linear<Backend::cuda>::backward_data(Context&, TensorView, ConstTensorView, ConstTensorView, Write) {
  absent("linear_backward_data");
}
template <>
void Linear<Backend::cuda>::backward_weight(Context&, const GradientSum&, ConstTensorView, ConstTensorView) {
  absent("linear_backward_weight");
}
template <>
void Linear<Backend::cuda>::backward_bias(Context&, const GradientSum&, ConstTensorView) {
  absent("linear_backward_bias");
}

template <>
void GroupedLinear<Backend::cuda>::forward(Context&, TensorView, ConstTensorView, ConstTensorView,
                                           ConstTensorView) {
  absent("grouped_linear_forward");
}
template <>
void GroupedLinear<Backend::cuda>::backward_data(Context&, TensorView, ConstTensorView, ConstTensorView,
                                                 ConstTensorView) {
  absent("grouped_linear_backward_data");
}
template <>
void GroupedLinear<Backend::cuda>::backward_weight(Context&, const GradientSum&, ConstTensorView,
                                                   ConstTensorView, ConstTensorView) {
  absent("grouped_linear_backward_weight");
}

template <>
void Attention<Backend::cuda>::forward(Context&, TensorView, TensorView, ConstTensorView, ConstTensorView,
                                       ConstTensorView, float, std::int64_t) {
  absent("attention_forward");
}
template <>
void Attention<Backend::cuda>::backward(Context&, TensorView, TensorView, TensorView, ConstTensorView,
                                        ConstTensorView, ConstTensorView, ConstTensorView, ConstTensorView,
                                        ConstTensorView, float, std::int64_t) {
  absent("attention_backward");
}

template <>
double Peak<Backend::cuda>::run(Context&, std::int64_t, std::int64_t) {
  absent("measured_peak_flops");
}

}  // namespace switchyard::kernels
