// Specification of ops/rope.h, on any scalar (double, or std::complex<double> for gradient checks).
#pragma once

#include <cstdint>

namespace switchyard::kernels::reference {

/// x (B, T, heads, D) in place; cosine and sine (T_max, D/2). `direction` 1 turns, -1 turns back.
template <typename Scalar>
void rope_rotate(Scalar* x, const double* cosine, const double* sine, std::int64_t B, std::int64_t T,
                 std::int64_t heads, std::int64_t D, std::int64_t first_position, double direction) {
  const std::int64_t half = D / 2;
  for (std::int64_t row = 0; row < B * T * heads; ++row) {
    const std::int64_t position = first_position + row / heads % T;
    for (std::int64_t i = 0; i < half; ++i) {
      const double c = cosine[position * half + i];
      const double s = direction * sine[position * half + i];
      const Scalar low = x[row * D + i];
      const Scalar high = x[row * D + half + i];
      x[row * D + i] = low * c - high * s;
      x[row * D + half + i] = high * c + low * s;
    }
  }
}

template <typename Scalar>
void rope_forward(Scalar* x, const double* cosine, const double* sine, std::int64_t B, std::int64_t T,
                  std::int64_t heads, std::int64_t D, std::int64_t first_position) {
  rope_rotate(x, cosine, sine, B, T, heads, D, first_position, 1.0);
}

template <typename Scalar>
void rope_backward(Scalar* dx, const double* cosine, const double* sine, std::int64_t B, std::int64_t T,
                   std::int64_t heads, std::int64_t D, std::int64_t first_position) {
  rope_rotate(dx, cosine, sine, B, T, heads, D, first_position, -1.0);
}

}  // namespace switchyard::kernels::reference
