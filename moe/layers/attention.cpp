#include "moe/layers/attention.h"

#include <cmath>

#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/runtime/transfer.h"

namespace switchyard::moe {

namespace {

using kernels::ArenaScope;
using kernels::Write;

ConstTensorView bias_of(const Parameter* bias) {
  return bias == nullptr ? ConstTensorView() : bias->weight;
}

// Rows over which qk-norm takes its statistics: one per head, or one for the full width.
ConstTensorView norm_rows(ConstTensorView x, const Parameter& weight) {
  const std::int64_t width = weight.elements();
  return x.reshaped({x.elements() / width, width});
}
TensorView norm_rows(TensorView x, const Parameter& weight) {
  const std::int64_t width = weight.elements();
  return x.reshaped({x.elements() / width, width});
}

// out (N, width) = normed * weight^T + bias, then qk-norm and clipping where the model has them.
ProjectionSaved project(LayerContext& layer, ConstTensorView normed, const Parameter& weight,
                        const Parameter* bias, const Parameter* norm) {
  const Shape shape = {normed.dim(0), weight.weight.dim(0)};
  const auto limit = static_cast<float>(layer.config.clip_qkv);
  ProjectionSaved saved;
  saved.out = layer.activations.tensor(layer.A(), shape);
  if (norm != nullptr) saved.raw = layer.activations.tensor(layer.A(), shape);
  if (limit > 0) saved.unclipped = layer.activations.tensor(layer.A(), shape);
  const TensorView unclipped = limit > 0 ? saved.unclipped : saved.out;
  const TensorView product = norm != nullptr ? saved.raw : unclipped;
  kernels::linear_forward(layer.kernels, product, normed, weight.weight, bias_of(bias));
  if (norm != nullptr) {
    saved.rstd = layer.activations.tensor(DType::f32, {product.elements() / norm->elements()});
    kernels::rms_norm_forward(layer.kernels, norm_rows(unclipped, *norm), saved.rstd,
                              norm_rows(ConstTensorView(product), *norm), norm->weight,
                              static_cast<float>(layer.config.norm_epsilon));
  }
  if (limit > 0) kernels::clip_forward(layer.kernels, saved.out, unclipped, limit);
  return saved;
}

// Gradient of one projection: dx (N, width) is the gradient of its output; adds to dnormed and to the
// parameters.
void project_backward(LayerContext& layer, TensorView dnormed, TensorView dx, ConstTensorView normed,
                      const Parameter& weight, const Parameter* bias, const Parameter* norm,
                      const ProjectionSaved& saved, Write write) {
  if (saved.unclipped.present())
    kernels::clip_backward(layer.kernels, dx, dx, saved.unclipped, static_cast<float>(layer.config.clip_qkv));
  if (norm != nullptr)
    kernels::rms_norm_backward(layer.kernels, norm_rows(dx, *norm), norm->gradient,
                               norm_rows(ConstTensorView(dx), *norm), norm_rows(saved.raw, *norm),
                               norm->weight, saved.rstd, {});
  kernels::linear_backward_data(layer.kernels, dnormed, dx, weight.weight, write);
  kernels::linear_backward_weight(layer.kernels, weight.gradient, dx, normed);
  if (bias != nullptr) kernels::linear_backward_bias(layer.kernels, bias->gradient, dx);
}

float score_scale(const ModelConfig& config) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_width(config))));
}

void append_to_cache(kernels::Context& context, KvCache& cache, ConstTensorView k, ConstTensorView v) {
  const std::int64_t rows = k.dim(0);
  kernels::copy(context, cache.k.rows(cache.length, rows), k);
  kernels::copy(context, cache.v.rows(cache.length, rows), v);
  cache.length += rows;
}

}  // namespace

void attention_forward(LayerContext& layer, const AttentionParameters& parameters, TensorView y,
                       ConstTensorView x, AttentionSaved& saved, KvCache* cache) {
  const auto [B, T] = layer.unit;
  const std::int64_t N = layer.unit.N(), C = layer.config.width, D = head_width(layer.config);
  const std::int64_t H = layer.config.heads, G = layer.config.kv_heads;
  kernels::Arena& arena = layer.activations;

  saved.normed = arena.tensor(layer.A(), {N, C});
  saved.rstd = arena.tensor(DType::f32, {N});
  kernels::rms_norm_forward(layer.kernels, saved.normed, saved.rstd, x, parameters.norm->weight,
                            static_cast<float>(layer.config.norm_epsilon));
  saved.q = project(layer, saved.normed, *parameters.q, parameters.q_bias, parameters.q_norm);
  saved.k = project(layer, saved.normed, *parameters.k, parameters.k_bias, parameters.k_norm);
  saved.v = project(layer, saved.normed, *parameters.v, parameters.v_bias, nullptr);

  const std::int64_t first_position = cache == nullptr ? 0 : cache->length;
  kernels::rope_forward(layer.kernels, saved.q.out.reshaped({B, T, H, D}), layer.rope_cosine, layer.rope_sine,
                        first_position);
  kernels::rope_forward(layer.kernels, saved.k.out.reshaped({B, T, G, D}), layer.rope_cosine, layer.rope_sine,
                        first_position);

  ConstTensorView keys = saved.k.out, values = saved.v.out;
  std::int64_t S = T;
  if (cache != nullptr) {
    append_to_cache(layer.kernels, *cache, saved.k.out, saved.v.out);
    S = cache->length;
    keys = cache->k.rows(0, S);
    values = cache->v.rows(0, S);
  }
  saved.mixed = arena.tensor(layer.A(), {N, H * D});
  saved.lse = arena.tensor(DType::f32, {B, H, T});
  kernels::attention_forward(layer.kernels, saved.mixed.reshaped({B, T, H, D}), saved.lse,
                             saved.q.out.reshaped({B, T, H, D}), keys.reshaped({B, S, G, D}),
                             values.reshaped({B, S, G, D}), score_scale(layer.config), parameters.window);
  kernels::linear_forward(layer.kernels, y, saved.mixed, parameters.output->weight,
                          bias_of(parameters.output_bias));
  kernels::add(layer.kernels, y, x, y);
}

void attention_backward(LayerContext& layer, const AttentionParameters& parameters, TensorView dx,
                        ConstTensorView dy, ConstTensorView x, const AttentionSaved& saved) {
  const auto [B, T] = layer.unit;
  const std::int64_t N = layer.unit.N(), C = layer.config.width, D = head_width(layer.config);
  const std::int64_t H = layer.config.heads, G = layer.config.kv_heads;
  ArenaScope scratch(layer.activations);

  const TensorView dmixed = scratch.tensor(layer.A(), {N, H * D});
  kernels::linear_backward_data(layer.kernels, dmixed, dy, parameters.output->weight, Write::overwrite);
  kernels::linear_backward_weight(layer.kernels, parameters.output->gradient, dy, saved.mixed);
  if (parameters.output_bias != nullptr)
    kernels::linear_backward_bias(layer.kernels, parameters.output_bias->gradient, dy);

  const TensorView dq = scratch.tensor(layer.A(), {N, H * D});
  const TensorView dk = scratch.tensor(layer.A(), {N, G * D});
  const TensorView dv = scratch.tensor(layer.A(), {N, G * D});
  kernels::attention_backward(layer.kernels, dq.reshaped({B, T, H, D}), dk.reshaped({B, T, G, D}),
                              dv.reshaped({B, T, G, D}), dmixed.reshaped({B, T, H, D}),
                              saved.q.out.reshaped({B, T, H, D}), saved.k.out.reshaped({B, T, G, D}),
                              saved.v.out.reshaped({B, T, G, D}), saved.mixed.reshaped({B, T, H, D}),
                              saved.lse, score_scale(layer.config), parameters.window);
  kernels::rope_backward(layer.kernels, dq.reshaped({B, T, H, D}), layer.rope_cosine, layer.rope_sine, 0);
  kernels::rope_backward(layer.kernels, dk.reshaped({B, T, G, D}), layer.rope_cosine, layer.rope_sine, 0);

  const TensorView dnormed = scratch.tensor(layer.A(), {N, C});
  project_backward(layer, dnormed, dq, saved.normed, *parameters.q, parameters.q_bias, parameters.q_norm,
                   saved.q, Write::overwrite);
  project_backward(layer, dnormed, dk, saved.normed, *parameters.k, parameters.k_bias, parameters.k_norm,
                   saved.k, Write::add);
  project_backward(layer, dnormed, dv, saved.normed, *parameters.v, parameters.v_bias, nullptr, saved.v,
                   Write::add);
  kernels::rms_norm_backward(layer.kernels, dx, parameters.norm->gradient, dnormed, x,
                             parameters.norm->weight, saved.rstd, dy);
}

}  // namespace switchyard::moe
