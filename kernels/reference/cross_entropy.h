// Specification of ops/cross_entropy.h, on any scalar (double, or std::complex<double> for gradient checks).
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>

namespace switchyard::kernels::reference {

/// log of the sum of e^x over n values; the maximum is taken by the real part.
template <typename T>
T log_sum_exp(const T* x, std::int64_t n) {
  using std::exp;
  using std::log;
  T largest = x[0];
  for (std::int64_t i = 1; i < n; ++i)
    if (std::real(x[i]) > std::real(largest)) largest = x[i];
  T total = 0;
  for (std::int64_t i = 0; i < n; ++i) total += exp(x[i] - largest);
  return largest + log(total);
}

template <typename T>
void cross_entropy_forward(T* loss, T* lse, const T* logits, const std::int32_t* targets, std::int64_t N,
                           std::int64_t V) {
  for (std::int64_t n = 0; n < N; ++n) {
    lse[n] = log_sum_exp(logits + n * V, V);
    loss[n] = targets[n] < 0 ? T(0) : lse[n] - logits[n * V + targets[n]];
  }
}

/// dlogits is overwritten.
template <typename T>
void cross_entropy_backward(T* dlogits, const T* logits, const std::int32_t* targets, const T* lse,
                            double scale, std::int64_t N, std::int64_t V) {
  using std::exp;
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t v = 0; v < V; ++v) {
      const T p = exp(logits[n * V + v] - lse[n]);
      dlogits[n * V + v] = targets[n] < 0 ? T(0) : scale * (v == targets[n] ? p - T(1) : p);
    }
  }
}

}  // namespace switchyard::kernels::reference
