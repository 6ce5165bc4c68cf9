// Specification of the row gate and of clipping in ops/elementwise.h, on any scalar (double, or
// std::complex<double> for gradient checks).
#pragma once

#include <cmath>
#include <complex>
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

/// y = x within [-limit, limit], by the real part; y may be x.
template <typename T>
void clip_forward(T* y, const T* x, std::int64_t count, double limit) {
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = std::real(x[i]);
    y[i] = std::abs(value) > limit ? T(std::copysign(limit, value)) : x[i];
  }
}

/// dx = dy where x is within the limits, else 0; dx may be dy.
template <typename T>
void clip_backward(T* dx, const T* dy, const T* x, std::int64_t count, double limit) {
  for (std::int64_t i = 0; i < count; ++i) dx[i] = std::abs(std::real(x[i])) > limit ? T(0) : dy[i];
}

}  // namespace switchyard::kernels::reference
