// Specification of ops/attention.h, on any scalar.
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

namespace switchyard::kernels::reference {

/// The first key that the query at position `own` sees.
inline std::int64_t first_key(std::int64_t own, std::int64_t window) {
  return window == 0 || own < window ? 0 : own - window + 1;
}

/// y (B, T, H, D) and lse (B, H, T) from q (B, T, H, D), k and v (B, S, G, D). The largest score is not
/// taken off first: inputs are small here, and a maximum is not smooth.
template <typename T>
void attention_forward(T* y, T* lse, const T* q, const T* k, const T* v, std::int64_t B, std::int64_t Tq,
                       std::int64_t S, std::int64_t H, std::int64_t G, std::int64_t D, double scale,
                       std::int64_t window = 0) {
  using std::exp;
  using std::log;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t h = 0; h < H; ++h) {
      const std::int64_t g = h / (H / G);
      for (std::int64_t t = 0; t < Tq; ++t) {
        const T* query = q + ((b * Tq + t) * H + h) * D;
        T* out = y + ((b * Tq + t) * H + h) * D;
        for (std::int64_t d = 0; d < D; ++d) out[d] = 0;
        T total = 0;
        for (std::int64_t s = first_key(S - Tq + t, window); s <= S - Tq + t; ++s) {
          const std::int64_t at = ((b * S + s) * G + g) * D;
          T score = 0;
          for (std::int64_t d = 0; d < D; ++d) score += query[d] * k[at + d];
          const T weight = exp(score * scale);
          total += weight;
          for (std::int64_t d = 0; d < D; ++d) out[d] += weight * v[at + d];
        }
        for (std::int64_t d = 0; d < D; ++d) out[d] = out[d] / total;
        lse[(b * H + h) * Tq + t] = log(total);
      }
    }
  }
}

/// dq (B, T, H, D), dk and dv (B, T, G, D) are added to; S == T.
template <typename T>
void attention_backward(T* dq, T* dk, T* dv, const T* dy, const T* q, const T* k, const T* v, const T* y,
                        const T* lse, std::int64_t B, std::int64_t Tq, std::int64_t H, std::int64_t G,
                        std::int64_t D, double scale, std::int64_t window = 0) {
  using std::exp;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t h = 0; h < H; ++h) {
      const std::int64_t g = h / (H / G);
      for (std::int64_t t = 0; t < Tq; ++t) {
        const std::int64_t row = ((b * Tq + t) * H + h) * D;
        T delta = 0;  // sum over keys of weight * its gradient
        for (std::int64_t d = 0; d < D; ++d) delta += dy[row + d] * y[row + d];
        for (std::int64_t s = first_key(t, window); s <= t; ++s) {
          const std::int64_t at = ((b * Tq + s) * G + g) * D;
          T score = 0;
          T dweight = 0;
          for (std::int64_t d = 0; d < D; ++d) {
            score += q[row + d] * k[at + d];
            dweight += dy[row + d] * v[at + d];
          }
          const T weight = exp(score * scale - lse[(b * H + h) * Tq + t]);
          const T dscore = weight * (dweight - delta) * scale;
          for (std::int64_t d = 0; d < D; ++d) {
            dq[row + d] += dscore * k[at + d];
            dk[at + d] += dscore * q[row + d];
            dv[at + d] += weight * dy[row + d];
          }
        }
      }
    }
  }
}

}  // namespace switchyard::kernels::reference
