// Specification of ops/swiglu.h, on any scalar (double, or std::complex<double> for gradient checks).
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>

namespace switchyard::kernels::reference {

template <typename T>
T sigmoid(T z) {
  using std::exp;
  return T(1) / (T(1) + exp(-z));
}

/// h (M, F); gate_up (M, 2F).
template <typename T>
void swiglu_forward(T* h, const T* gate_up, std::int64_t M, std::int64_t F) {
  for (std::int64_t m = 0; m < M; ++m) {
    for (std::int64_t f = 0; f < F; ++f) {
      const T z = gate_up[m * 2 * F + f];
      h[m * F + f] = z * sigmoid(z) * gate_up[m * 2 * F + F + f];
    }
  }
}

/// dgate_up (M, 2F) is overwritten.
template <typename T>
void swiglu_backward(T* dgate_up, const T* dh, const T* gate_up, std::int64_t M, std::int64_t F) {
  for (std::int64_t m = 0; m < M; ++m) {
    for (std::int64_t f = 0; f < F; ++f) {
      const T z = gate_up[m * 2 * F + f];
      const T up = gate_up[m * 2 * F + F + f];
      const T s = sigmoid(z);
      const T d = dh[m * F + f];
      dgate_up[m * 2 * F + f] = d * up * s * (T(1) + z * (T(1) - s));
      dgate_up[m * 2 * F + F + f] = d * z * s;
    }
  }
}

}  // namespace switchyard::kernels::reference
