// Specification of ops/rope.h, on any scalar (double, or std::complex<double> for gradient checks).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "kernels/ops/rope_scaling.h"

namespace switchyard::kernels::reference {

/// Angle per position of pair i of D / 2, from the wavelength in tokens.
inline double rope_frequency(const RopeScaling& scaling, double theta, std::int64_t i, std::int64_t D) {
  const double two_pi = 2 * std::numbers::pi;
  const double wave = two_pi * std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(D));
  const double stretched = wave * scaling.factor, L = static_cast<double>(scaling.original_length);
  switch (scaling.kind) {
    case RopeScalingKind::none:
      return two_pi / wave;
    case RopeScalingKind::linear:
      return two_pi / stretched;
    case RopeScalingKind::llama3: {
      const double low = scaling.low_frequency_factor, high = scaling.high_frequency_factor;
      const double kept = std::clamp((L / wave - low) / (high - low), 0.0, 1.0);
      return kept * two_pi / wave + (1 - kept) * two_pi / stretched;
    }
    case RopeScalingKind::yarn: {
      // The pair, not a whole number, whose wave fits `times` into L: theta^(2 pair / D) = L / (2 pi times).
      const auto pair = [&](double times) {
        return std::log(L / two_pi / times) / std::log(theta) * static_cast<double>(D) / 2;
      };
      double from = pair(scaling.beta_fast), to = pair(scaling.beta_slow);
      if (scaling.truncate) from = std::floor(from), to = std::ceil(to);
      from = std::max(from, 0.0);
      to = std::min(to, static_cast<double>(D - 1));
      const double width = from == to ? 0.001 : to - from;
      const double m = std::clamp((static_cast<double>(i) - from) / width, 0.0, 1.0);
      return (1 - m) * two_pi / wave + m * two_pi / stretched;
    }
  }
  return 0;
}

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
