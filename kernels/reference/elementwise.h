// Specification of the row gate of ops/elementwise.h, on any scalar (double, or std::complex<double> for
// gradient checks).
#pragma once

#include <cstdint>

#include "kernels/reference/swiglu.h"

namespace switchyard::kernels::reference {

template <typename T>
void row_gate_forward(T* y, const T* x, const T* gate, std::int64_t N, std::int64_t C) {
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t c = 0; c < C; ++c) y[n * C + c] = sigmoid(gate[n]) * x[n * C + c];
}

/// dx and dgate are overwritten.
template <typename T>
void row_gate_backward(T* dx, T* dgate, const T* dy, const T* x, const T* gate, std::int64_t N,
                       std::int64_t C) {
  for (std::int64_t n = 0; n < N; ++n) {
    const T s = sigmoid(gate[n]);
    T dot = 0;
    for (std::int64_t c = 0; c < C; ++c) {
      dot += dy[n * C + c] * x[n * C + c];
      dx[n * C + c] = s * dy[n * C + c];
    }
    dgate[n] = dot * s * (T(1) - s);
  }
}

}  // namespace switchyard::kernels::reference
