// Stands in for the CUDA back end where the program is built without it: every op refuses by name.
#include "kernels/ops/adamw.h"
#include "kernels/ops/cross_entropy.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/permute.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/router.h"
#include "kernels/ops/swiglu.h"

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
template <>
bool Adamw<Backend::cuda>::sum_of_squares(Context&, WideSum&, ConstTensorView, double) {
  absent("sum_of_squares");
}
template <>
void Adamw<Backend::cuda>::step(Context&, TensorView, TensorView, TensorView, TensorView, ConstTensorView,
                                const AdamwScalars&) {
  absent("adamw_step");
}
template <>
void CrossEntropy<Backend::cuda>::forward(Context&, TensorView, TensorView, ConstTensorView,
                                          ConstTensorView) {
  absent("cross_entropy_forward");
}
template <>
void CrossEntropy<Backend::cuda>::backward(Context&, TensorView, ConstTensorView, ConstTensorView,
                                           ConstTensorView, float) {
  absent("cross_entropy_backward");
}
template <>
void Elementwise<Backend::cuda>::add(Context&, TensorView, ConstTensorView, ConstTensorView) {
  absent("add");
}
template <>
void Elementwise<Backend::cuda>::convert(Context&, TensorView, ConstTensorView) {
  absent("convert");
}
template <>
void Elementwise<Backend::cuda>::row_gate_forward(Context&, TensorView, ConstTensorView, ConstTensorView) {
  absent("row_gate_forward");
}
template <>
void Elementwise<Backend::cuda>::row_gate_backward(Context&, TensorView, TensorView, ConstTensorView,
                                                   ConstTensorView, ConstTensorView) {
  absent("row_gate_backward");
}
template <>
void Elementwise<Backend::cuda>::clip_forward(Context&, TensorView, ConstTensorView, float) {
  absent("clip_forward");
}
template <>
void Elementwise<Backend::cuda>::clip_backward(Context&, TensorView, ConstTensorView, ConstTensorView,
                                               float) {
  absent("clip_backward");
}
template <>
void Embedding<Backend::cuda>::forward(Context&, TensorView, ConstTensorView, ConstTensorView) {
  absent("embedding_forward");
}
template <>
void Embedding<Backend::cuda>::backward(Context&, const GradientSum&, ConstTensorView, ConstTensorView) {
  absent("embedding_backward");
}
template <>
void Permute<Backend::cuda>::sort_slots(Context&, TensorView, TensorView, TensorView, ConstTensorView) {
  absent("sort_slots");
}
template <>
void Permute<Backend::cuda>::gather_forward(Context&, TensorView, ConstTensorView, ConstTensorView,
                                            std::int64_t) {
  absent("gather_rows_forward");
}
template <>
void Permute<Backend::cuda>::gather_backward(Context&, TensorView, ConstTensorView, ConstTensorView) {
  absent("gather_rows_backward");
}
template <>
void Permute<Backend::cuda>::combine_forward(Context&, TensorView, ConstTensorView, ConstTensorView,
                                             ConstTensorView, ConstTensorView) {
  absent("combine_rows_forward");
}
template <>
void Permute<Backend::cuda>::combine_backward(Context&, TensorView, TensorView, ConstTensorView,
                                              ConstTensorView, ConstTensorView, ConstTensorView) {
  absent("combine_rows_backward");
}
template <>
void Rope<Backend::cuda>::forward(Context&, TensorView, ConstTensorView, ConstTensorView, std::int64_t) {
  absent("rope_forward");
}
template <>
void Rope<Backend::cuda>::backward(Context&, TensorView, ConstTensorView, ConstTensorView, std::int64_t) {
  absent("rope_backward");
}
template <>
void Router<Backend::cuda>::forward(Context&, TensorView, TensorView, TensorView, TensorView, ConstTensorView,
                                    ConstTensorView, const RouterOptions&) {
  absent("router_forward");
}
template <>
void Router<Backend::cuda>::backward(Context&, TensorView, ConstTensorView, ConstTensorView, ConstTensorView,
                                     ConstTensorView, ConstTensorView, ConstTensorView, ConstTensorView,
                                     const RouterOptions&) {
  absent("router_backward");
}
template <>
void Router<Backend::cuda>::statistics(Context&, TensorView, TensorView, TensorView, TensorView,
                                       ConstTensorView, ConstTensorView, ConstTensorView) {
  absent("router_statistics");
}
template <>
void Router<Backend::cuda>::drop(Context&, TensorView, ConstTensorView, std::int64_t, std::int64_t, bool) {
  absent("router_drop");
}
template <>
void Swiglu<Backend::cuda>::forward(Context&, TensorView, ConstTensorView) {
  absent("swiglu_forward");
}
template <>
void Swiglu<Backend::cuda>::backward(Context&, TensorView, ConstTensorView, ConstTensorView) {
  absent("swiglu_backward");
}

}  // namespace switchyard::kernels
