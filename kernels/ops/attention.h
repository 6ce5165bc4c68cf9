// Causal grouped-query attention (Vaswani et al., 2017; Ainslie et al., 2023), computed over blocks of keys
// with a running maximum (Dao et al., 2022): no (T, T) matrix is stored.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

// Sums, softmax and lse are fp32; queries, keys, values and their gradients are A (kernels/README.md).

/// y (B, T, H, D) and lse (B, H, T) f32, the log-sum-exp of the scaled scores, are overwritten. q (B, T, H,
/// D); k, v (B, S, G, D) with S >= T: query t sees keys 0 .. S - T + t, so S > T continues a cached prefix.
/// Query head h uses key/value head h / (H / G). Scores are multiplied by `scale`. With a `window` above 0 a
/// query sees only the newest `window` of those keys, its own included; 0 = all of them.
void attention_forward(Context& context, TensorView y, TensorView lse, ConstTensorView q, ConstTensorView k,
                       ConstTensorView v, float scale, std::int64_t window = 0);

/// dq (B, T, H, D), dk and dv (B, T, G, D) are overwritten; only for S == T.
void attention_backward(Context& context, TensorView dq, TensorView dk, TensorView dv, ConstTensorView dy,
                        ConstTensorView q, ConstTensorView k, ConstTensorView v, ConstTensorView y,
                        ConstTensorView lse, float scale, std::int64_t window = 0);

template <Backend>
struct Attention {
  static void forward(Context& context, TensorView y, TensorView lse, ConstTensorView q, ConstTensorView k,
                      ConstTensorView v, float scale, std::int64_t window);
  static void backward(Context& context, TensorView dq, TensorView dk, TensorView dv, ConstTensorView dy,
                       ConstTensorView q, ConstTensorView k, ConstTensorView v, ConstTensorView y,
                       ConstTensorView lse, float scale, std::int64_t window);
};

}  // namespace switchyard::kernels
