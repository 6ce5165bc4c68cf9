#include "moe/layers/head.h"

#include <algorithm>

#include "kernels/ops/cross_entropy.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/rms_norm.h"
#include "moe/layers/placement.h"

namespace switchyard::moe {

namespace {

// A multiple of kGradientBlockRows, so that chunks cut the head's gradient where its blocks end anyway.
constexpr std::int64_t kChunkRows = 2 * kernels::kGradientBlockRows;

float epsilon(const LayerContext& layer) {
  return static_cast<float>(layer.config.norm_epsilon);
}

// The loss, and with a present `dnormed` (N, C) its gradient.
double chunked_loss(LayerContext& layer, const HeadParameters& parameters, ConstTensorView normed,
                    ConstTensorView targets, TensorView dnormed) {
  const std::int64_t N = normed.dim(0), V = parameters.head->weight.dim(0);
  if (N == 0) return 0;
  kernels::ArenaScope outer(layer.activations);
  const TensorView losses = layer.host.tensor(DType::f32, {N});
  Fetched fetched(layer, losses);
  for (std::int64_t begin = 0; begin < N; begin += kChunkRows) {
    const std::int64_t rows = std::min(kChunkRows, N - begin);
    kernels::ArenaScope scratch(layer.activations);
    const TensorView logits = scratch.tensor(DType::f32, {rows, V});
    const TensorView lse = scratch.tensor(DType::f32, {rows});
    kernels::linear_forward(layer.kernels, logits, normed.rows(begin, rows), parameters.head->weight, {});
    kernels::cross_entropy_forward(layer.kernels, fetched.written().rows(begin, rows), lse, logits,
                                   targets.rows(begin, rows));
    if (!dnormed.present()) continue;
    const TensorView dlogits = layer.A() == DType::f32 ? logits : scratch.tensor(layer.A(), {rows, V});
    kernels::cross_entropy_backward(layer.kernels, dlogits, logits, targets.rows(begin, rows), lse,
                                    static_cast<float>(1.0 / static_cast<double>(N)));
    kernels::linear_backward_data(layer.kernels, dnormed.rows(begin, rows), dlogits, parameters.head->weight,
                                  kernels::Write::overwrite);
    kernels::linear_backward_weight(layer.kernels, parameters.head->gradient, dlogits,
                                    normed.rows(begin, rows));
  }
  fetched.fetch();
  double total = 0;
  for (std::int64_t n = 0; n < N; ++n) total += static_cast<double>(losses.data<float>()[n]);
  return total / static_cast<double>(N);
}

}  // namespace

double head_loss(LayerContext& layer, const HeadParameters& parameters, ConstTensorView x,
                 ConstTensorView targets) {
  kernels::ArenaScope scratch(layer.activations);
  const TensorView normed = scratch.tensor(layer.A(), x.shape());
  const TensorView rstd = scratch.tensor(DType::f32, {x.dim(0)});
  kernels::rms_norm_forward(layer.kernels, normed, rstd, x, parameters.norm->weight, epsilon(layer));
  return chunked_loss(layer, parameters, normed, targets, {});
}

double head_loss_and_gradient(LayerContext& layer, const HeadParameters& parameters, TensorView dx,
                              ConstTensorView x, ConstTensorView targets) {
  kernels::ArenaScope scratch(layer.activations);
  const TensorView normed = scratch.tensor(layer.A(), x.shape());
  const TensorView dnormed = scratch.tensor(layer.A(), x.shape());
  const TensorView rstd = scratch.tensor(DType::f32, {x.dim(0)});
  kernels::rms_norm_forward(layer.kernels, normed, rstd, x, parameters.norm->weight, epsilon(layer));
  const double loss = chunked_loss(layer, parameters, normed, targets, dnormed);
  kernels::rms_norm_backward(layer.kernels, dx, parameters.norm->gradient, dnormed, x,
                             parameters.norm->weight, rstd, {});
  return loss;
}

void head_logits(LayerContext& layer, const HeadParameters& parameters, TensorView logits,
                 ConstTensorView x) {
  kernels::ArenaScope scratch(layer.activations);
  const TensorView normed = scratch.tensor(layer.A(), x.shape());
  const TensorView rstd = scratch.tensor(DType::f32, {x.dim(0)});
  kernels::rms_norm_forward(layer.kernels, normed, rstd, x, parameters.norm->weight, epsilon(layer));
  kernels::linear_forward(layer.kernels, logits, normed, parameters.head->weight, {});
}

}  // namespace switchyard::moe
