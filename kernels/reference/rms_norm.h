// Specification of ops/rms_norm.h, on any scalar (double, or std::complex<double> for gradient checks).
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>

namespace switchyard::kernels::reference {

template <typename T>
void rms_norm_forward(T* y, T* rstd, const T* x, const T* weight, std::int64_t N, std::int64_t C,
                      double epsilon) {
  using std::sqrt;
  for (std::int64_t n = 0; n < N; ++n) {
    T squares = 0;
    for (std::int64_t c = 0; c < C; ++c) squares += x[n * C + c] * x[n * C + c];
    rstd[n] = T(1) / sqrt(squares / double(C) + epsilon);
    for (std::int64_t c = 0; c < C; ++c) y[n * C + c] = x[n * C + c] * rstd[n] * weight[c];
  }
}

/// dx is overwritten, dweight is added to.
template <typename T>
void rms_norm_backward(T* dx, T* dweight, const T* dy, const T* x, const T* weight, const T* rstd,
                       std::int64_t N, std::int64_t C) {
  for (std::int64_t n = 0; n < N; ++n) {
    T dot = 0;  // sum over c of dy * weight * normalised x
    for (std::int64_t c = 0; c < C; ++c) dot += dy[n * C + c] * weight[c] * x[n * C + c] * rstd[n];
    for (std::int64_t c = 0; c < C; ++c) {
      const T normalised = x[n * C + c] * rstd[n];
      dx[n * C + c] = rstd[n] * (dy[n * C + c] * weight[c] - normalised * dot / double(C));
      dweight[c] += dy[n * C + c] * normalised;
    }
  }
}

}  // namespace switchyard::kernels::reference
