// Specification of ops/embedding.h, on any scalar (double, or std::complex<double> for gradient checks).
#pragma once

#include <cstdint>

namespace switchyard::kernels::reference {

template <typename T>
void embedding_forward(T* x, const std::int32_t* tokens, const T* weight, std::int64_t N, std::int64_t C) {
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t c = 0; c < C; ++c) x[n * C + c] = weight[tokens[n] * C + c];
}

/// dweight (V, C) is added to.
template <typename T>
void embedding_backward(T* dweight, const T* dx, const std::int32_t* tokens, std::int64_t N, std::int64_t C) {
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t c = 0; c < C; ++c) dweight[tokens[n] * C + c] += dx[n * C + c];
}

}  // namespace switchyard::kernels::reference
