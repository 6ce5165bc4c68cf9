// Rotary position embedding (Su et al., 2021), half-split form: for i < D/2
//   out[i] = x[i] cos - x[i + D/2] sin,   out[i + D/2] = x[i + D/2] cos + x[i] sin.
#pragma once

#include "kernels/ops/rope_scaling.h"
#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// cosine and sine (T_max, D/2) f32 of position * rope_frequencies(scaling, theta, D/2), times
/// rope_attention_factor(scaling); angles in double, the results rounded once.
void rope_tables(TensorView cosine, TensorView sine, double theta, const RopeScaling& scaling = {});

/// x (B, T, heads, D), A (kernels/README.md), is rotated in place; token t has position first_position + t,
/// within the tables.
void rope_forward(Context& context, TensorView x, ConstTensorView cosine, ConstTensorView sine,
                  std::int64_t first_position);

/// dx (B, T, heads, D), A, is rotated back in place.
void rope_backward(Context& context, TensorView dx, ConstTensorView cosine, ConstTensorView sine,
                   std::int64_t first_position);

template <Backend>
struct Rope {
  static void forward(Context& context, TensorView x, ConstTensorView cosine, ConstTensorView sine,
                      std::int64_t first_position);
  static void backward(Context& context, TensorView dx, ConstTensorView cosine, ConstTensorView sine,
                       std::int64_t first_position);
};

}  // namespace switchyard::kernels
