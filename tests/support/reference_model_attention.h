// Attention half of a decoder block, forward on any scalar and backward in double. Part of
// reference_model.cpp.
#pragma once

#include <cmath>

#include "kernels/reference/attention.h"
#include "kernels/reference/elementwise.h"
#include "kernels/reference/linear.h"
#include "kernels/reference/rms_norm.h"
#include "kernels/reference/rope.h"
#include "tests/support/reference_model.h"

namespace switchyard::test {

namespace reference = kernels::reference;

template <typename T>
using Values = std::vector<T>;

template <typename T>
Values<T> zeros(std::int64_t count) {
  return Values<T>(static_cast<std::size_t>(count), T(0));
}

/// The tensors of one layer, by the names that follow the prefix.
template <typename Map>
struct LayerTensors {
  Map& values;
  std::string prefix;

  auto* get(const std::string& name) const { return values.at(prefix + name).data(); }
  /// Null where the model has no such tensor.
  auto* find(const std::string& name) const {
    return values.contains(prefix + name) ? values.at(prefix + name).data() : nullptr;
  }
  std::int64_t elements(const std::string& name) const {
    return static_cast<std::int64_t>(values.at(prefix + name).size());
  }
};
template <typename T>
using LayerWeights = LayerTensors<const NamedValues<T>>;
using LayerGradients = LayerTensors<NamedValues<double>>;

struct RopeTables {
  Values<double> cosine, sine;  // (T, D / 2)
};

inline RopeTables reference_rope_tables(const moe::ModelConfig& config, std::int64_t T) {
  const std::int64_t D = moe::head_width(config);
  const kernels::RopeScaling& scaling = config.rope_scaling;
  double factor = 1;
  if (scaling.kind == kernels::RopeScalingKind::yarn)
    factor = scaling.attention_factor > 0 ? scaling.attention_factor : 1 + std::log(scaling.factor) / 10;
  RopeTables tables;
  for (std::int64_t t = 0; t < T; ++t) {
    for (std::int64_t i = 0; i < D / 2; ++i) {
      const double angle =
          static_cast<double>(t) * reference::rope_frequency(config.rope_scaling, config.rope_theta, i, D);
      tables.cosine.push_back(factor * std::cos(angle));
      tables.sine.push_back(factor * std::sin(angle));
    }
  }
  return tables;
}

template <typename T>
struct ProjectionTrace {
  Values<T> raw, rstd;  // before qk-norm
  Values<T> unclipped;
  Values<T> out;
};

template <typename T>
struct AttentionTrace {
  Values<T> normed, rstd;
  ProjectionTrace<T> q, k, v;
  Values<T> rotated_q, rotated_k;
  Values<T> mixed, lse;
};

template <typename T>
ProjectionTrace<T> project(const moe::ModelConfig& config, const LayerWeights<T>& weights,
                           const std::string& which, const Values<T>& normed, std::int64_t N,
                           std::int64_t width) {
  ProjectionTrace<T> trace;
  trace.raw = zeros<T>(N * width);
  reference::linear_forward(trace.raw.data(), normed.data(), weights.get(which + ".weight"),
                            weights.find(which + ".bias"), N, width, config.width);
  trace.unclipped = trace.raw;
  if (const T* norm = weights.find(which + "_norm.weight"); norm != nullptr) {
    const std::int64_t normalised = weights.elements(which + "_norm.weight");
    const std::int64_t rows = N * width / normalised;
    trace.rstd = zeros<T>(rows);
    reference::rms_norm_forward(trace.unclipped.data(), trace.rstd.data(), trace.raw.data(), norm, rows,
                                normalised, config.norm_epsilon);
  }
  trace.out = trace.unclipped;
  if (config.clip_qkv > 0)
    reference::clip_forward(trace.out.data(), trace.unclipped.data(), N * width, config.clip_qkv);
  return trace;
}

/// dnormed (N, C) is added to.
inline void project_backward(const moe::ModelConfig& config, const LayerWeights<double>& weights,
                             const LayerGradients& gradients, const std::string& which,
                             Values<double>& dnormed, Values<double> dx, const Values<double>& normed,
                             const ProjectionTrace<double>& trace, std::int64_t N, std::int64_t width) {
  if (config.clip_qkv > 0)
    reference::clip_backward(dx.data(), dx.data(), trace.unclipped.data(), N * width, config.clip_qkv);
  if (const double* norm = weights.find(which + "_norm.weight"); norm != nullptr) {
    const std::int64_t normalised = weights.elements(which + "_norm.weight");
    Values<double> draw(dx.size());
    reference::rms_norm_backward(draw.data(), gradients.get(which + "_norm.weight"), dx.data(),
                                 trace.raw.data(), norm, trace.rstd.data(), N * width / normalised,
                                 normalised);
    dx = draw;
  }
  reference::linear_backward_data(dnormed.data(), dx.data(), weights.get(which + ".weight"), N, width,
                                  config.width);
  reference::linear_backward_weight(gradients.get(which + ".weight"), dx.data(), normed.data(), N, width,
                                    config.width);
  if (double* bias = gradients.find(which + ".bias"); bias != nullptr)
    reference::linear_backward_bias(bias, dx.data(), N, width);
}

inline double reference_score_scale(const moe::ModelConfig& config) {
  return 1.0 / std::sqrt(static_cast<double>(moe::head_width(config)));
}

/// x + attention(norm(x)), (N, C).
template <typename T>
Values<T> attention_half(const moe::ModelConfig& config, const LayerWeights<T>& weights,
                         const RopeTables& tables, std::int64_t window, std::int64_t B, std::int64_t Tq,
                         const Values<T>& x, AttentionTrace<T>& trace) {
  const std::int64_t N = B * Tq, C = config.width, H = config.heads, G = config.kv_heads,
                     D = moe::head_width(config);
  trace.normed = zeros<T>(N * C);
  trace.rstd = zeros<T>(N);
  reference::rms_norm_forward(trace.normed.data(), trace.rstd.data(), x.data(),
                              weights.get("attention_norm.weight"), N, C, config.norm_epsilon);
  trace.q = project(config, weights, "attention.q", trace.normed, N, H * D);
  trace.k = project(config, weights, "attention.k", trace.normed, N, G * D);
  trace.v = project(config, weights, "attention.v", trace.normed, N, G * D);
  trace.rotated_q = trace.q.out;
  trace.rotated_k = trace.k.out;
  reference::rope_forward(trace.rotated_q.data(), tables.cosine.data(), tables.sine.data(), B, Tq, H, D, 0);
  reference::rope_forward(trace.rotated_k.data(), tables.cosine.data(), tables.sine.data(), B, Tq, G, D, 0);
  trace.mixed = zeros<T>(N * H * D);
  trace.lse = zeros<T>(B * H * Tq);
  reference::attention_forward(trace.mixed.data(), trace.lse.data(), trace.rotated_q.data(),
                               trace.rotated_k.data(), trace.v.out.data(), B, Tq, Tq, H, G, D,
                               reference_score_scale(config), window);
  Values<T> y = zeros<T>(N * C);
  reference::linear_forward<T>(y.data(), trace.mixed.data(), weights.get("attention.output.weight"),
                               weights.find("attention.output.bias"), N, C, H * D);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += x[i];
  return y;
}

/// Gradient of x from that of attention_half's result.
inline Values<double> attention_half_backward(const moe::ModelConfig& config,
                                              const LayerWeights<double>& weights,
                                              const LayerGradients& gradients, const RopeTables& tables,
                                              std::int64_t window, std::int64_t B, std::int64_t Tq,
                                              const Values<double>& dy, const Values<double>& x,
                                              const AttentionTrace<double>& trace) {
  const std::int64_t N = B * Tq, C = config.width, H = config.heads, G = config.kv_heads,
                     D = moe::head_width(config);
  Values<double> dmixed = zeros<double>(N * H * D);
  reference::linear_backward_data(dmixed.data(), dy.data(), weights.get("attention.output.weight"), N, C,
                                  H * D);
  reference::linear_backward_weight(gradients.get("attention.output.weight"), dy.data(), trace.mixed.data(),
                                    N, C, H * D);
  if (double* bias = gradients.find("attention.output.bias"); bias != nullptr)
    reference::linear_backward_bias(bias, dy.data(), N, C);
  Values<double> dq = zeros<double>(N * H * D), dk = zeros<double>(N * G * D), dv = zeros<double>(N * G * D);
  reference::attention_backward(dq.data(), dk.data(), dv.data(), dmixed.data(), trace.rotated_q.data(),
                                trace.rotated_k.data(), trace.v.out.data(), trace.mixed.data(),
                                trace.lse.data(), B, Tq, H, G, D, reference_score_scale(config), window);
  reference::rope_backward(dq.data(), tables.cosine.data(), tables.sine.data(), B, Tq, H, D, 0);
  reference::rope_backward(dk.data(), tables.cosine.data(), tables.sine.data(), B, Tq, G, D, 0);
  Values<double> dnormed = zeros<double>(N * C);
  project_backward(config, weights, gradients, "attention.q", dnormed, dq, trace.normed, trace.q, N, H * D);
  project_backward(config, weights, gradients, "attention.k", dnormed, dk, trace.normed, trace.k, N, G * D);
  project_backward(config, weights, gradients, "attention.v", dnormed, dv, trace.normed, trace.v, N, G * D);
  Values<double> dx = zeros<double>(N * C);
  reference::rms_norm_backward(dx.data(), gradients.get("attention_norm.weight"), dnormed.data(), x.data(),
                               weights.get("attention_norm.weight"), trace.rstd.data(), N, C);
  for (std::size_t i = 0; i < dx.size(); ++i) dx[i] += dy[i];
  return dx;
}

}  // namespace switchyard::test
