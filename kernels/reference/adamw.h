// Specification of ops/adamw.h in double.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/ops/adamw.h"

namespace switchyard::kernels::reference {

/// master, m and v (n) are updated from the gradients (n).
inline void adamw_step(double* master, double* m, double* v, const double* gradient, std::int64_t n,
                       const AdamwScalars& scalars) {
  const auto beta1 = static_cast<double>(scalars.beta1);
  const auto beta2 = static_cast<double>(scalars.beta2);
  for (std::int64_t i = 0; i < n; ++i) {
    m[i] = beta1 * m[i] + (1 - beta1) * gradient[i];
    v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i];
    const double mhat = m[i] / static_cast<double>(scalars.bias_correction1);
    const double vhat = v[i] / static_cast<double>(scalars.bias_correction2);
    const double direction = mhat / (std::sqrt(vhat) + static_cast<double>(scalars.epsilon));
    master[i] -= static_cast<double>(scalars.learning_rate) *
                 (direction + static_cast<double>(scalars.weight_decay) * master[i]);
  }
}

}  // namespace switchyard::kernels::reference
