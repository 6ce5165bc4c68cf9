// AdamW (Loshchilov and Hutter, 2019) on exact gradient sums, and the exact norm that clips them.
#pragma once

#include "kernels/ops/gradient_sum.h"
#include "kernels/ops/norm_grid.h"
#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// A 128-bit sum in two's complement, as two words that can travel between ranks.
struct WideSum {
  std::uint64_t low = 0;
  std::int64_t high = 0;

  void add(const WideSum& other);
  /// Nearest multiple of 2^-kNormGridExponent; returns false, adding nothing, unless |value| < 2^46.
  bool add(double value);
  double value() const;
  bool operator==(const WideSum&) const = default;
};

/// Adds sum((sums[i] * kGridUnit * scale)^2) to `total`. sums i64, any shape; whole runs of kNormBlock but
/// for the last of the tensor. Returns false if a run does not fit the grid (the step is then not finite).
bool sum_of_squares(Context& context, WideSum& total, ConstTensorView sums, double scale);

struct AdamwScalars {
  float learning_rate = 0;
  float beta1 = 0;
  float beta2 = 0;
  float epsilon = 0;
  float weight_decay = 0;
  float bias_correction1 = 1;  ///< 1 - beta1^step, step from 1
  float bias_correction2 = 1;  ///< 1 - beta2^step
  double gradient_scale = 1;   ///< clip factor / number of micro-batches; gradient = sums * kGridUnit * this
};

/// master, m, v (n) f32 are updated; weight (n), f32 or bf16, gets the new master rounded (it may be absent,
/// or be the memory of master). Gradient from sums (n) i64. Elements are independent of each other.
void adamw_step(Context& context, TensorView master, TensorView m, TensorView v, TensorView weight,
                ConstTensorView sums, const AdamwScalars& scalars);

template <Backend>
struct Adamw {
  static bool sum_of_squares(Context& context, WideSum& total, ConstTensorView sums, double scale);
  static void step(Context& context, TensorView master, TensorView m, TensorView v, TensorView weight,
                   ConstTensorView sums, const AdamwScalars& scalars);
};

}  // namespace switchyard::kernels
