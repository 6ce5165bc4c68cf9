// Specification of ops/linear.h, on any scalar.
#pragma once

#include <cstdint>

namespace switchyard::kernels::reference {

/// y (N, O) = x (N, I) * weight (O, I)^T + bias (O); bias may be null.
template <typename T>
void linear_forward(T* y, const T* x, const T* weight, const T* bias, std::int64_t N, std::int64_t O,
                    std::int64_t I) {
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t o = 0; o < O; ++o) {
      T sum = 0;
      for (std::int64_t i = 0; i < I; ++i) sum += x[n * I + i] * weight[o * I + i];
      y[n * O + o] = bias != nullptr ? sum + bias[o] : sum;
    }
  }
}

/// dx (N, I) += dy (N, O) * weight (O, I).
template <typename T>
void linear_backward_data(T* dx, const T* dy, const T* weight, std::int64_t N, std::int64_t O,
                          std::int64_t I) {
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t o = 0; o < O; ++o)
      for (std::int64_t i = 0; i < I; ++i) dx[n * I + i] += dy[n * O + o] * weight[o * I + i];
}

/// dweight (O, I) += dy (N, O)^T * x (N, I).
template <typename T>
void linear_backward_weight(T* dweight, const T* dy, const T* x, std::int64_t N, std::int64_t O,
                            std::int64_t I) {
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t o = 0; o < O; ++o)
      for (std::int64_t i = 0; i < I; ++i) dweight[o * I + i] += dy[n * O + o] * x[n * I + i];
}

/// dbias (O) += sum over rows of dy (N, O).
template <typename T>
void linear_backward_bias(T* dbias, const T* dy, std::int64_t N, std::int64_t O) {
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t o = 0; o < O; ++o) dbias[o] += dy[n * O + o];
}

}  // namespace switchyard::kernels::reference
