// Pre-norm attention with its residual: y = x + Wo attention(rope(clip(qk_norm(norm(x) Wqkv)))).
#pragma once

#include "moe/layers/layer.h"

namespace switchyard::moe {

struct AttentionParameters {
  const Parameter* norm = nullptr;
  const Parameter* q = nullptr;
  const Parameter* k = nullptr;
  const Parameter* v = nullptr;
  const Parameter* q_bias = nullptr;  ///< with attention_bias, like k_bias and v_bias
  const Parameter* k_bias = nullptr;
  const Parameter* v_bias = nullptr;
  const Parameter* q_norm = nullptr;  ///< with qk_norm, like k_norm
  const Parameter* k_norm = nullptr;
  const Parameter* output = nullptr;
  const Parameter* output_bias = nullptr;  ///< with attention_output_bias
  std::int64_t window = 0;                 ///< keys a query sees at most; 0 = all
};

/// What the backward pass reads of queries, keys or values; `width` is H D or G D.
struct ProjectionSaved {
  TensorView raw;        // (N, width): before qk-norm; absent without
  TensorView rstd;       // one per normalised row; absent without
  TensorView unclipped;  // (N, width): before clipping; absent without
  TensorView out;        // (N, width): as attention sees it
};

/// What the backward pass reads; all in the activation arena.
struct AttentionSaved {
  TensorView normed, rstd;  // (N, C), (N)
  ProjectionSaved q, k, v;
  TensorView mixed, lse;  // (N, H D), (B, H, T)
};

/// Keys and values of the tokens seen so far, for decoding one sequence.
struct KvCache {
  TensorView k, v;          // (S_max, G D)
  std::int64_t length = 0;  // tokens stored
};

/// y (N, C) = x + attention(norm(x)); y may not be the memory of x. With a cache, N = T new tokens of one
/// sequence follow the cached ones.
void attention_forward(LayerContext& layer, const AttentionParameters& parameters, TensorView y,
                       ConstTensorView x, AttentionSaved& saved, KvCache* cache);

/// dx (N, C) is overwritten with the gradient of x from dy (N, C), the residual's included; dx may be dy's
/// memory.
void attention_backward(LayerContext& layer, const AttentionParameters& parameters, TensorView dx,
                        ConstTensorView dy, ConstTensorView x, const AttentionSaved& saved);

}  // namespace switchyard::moe
