// Specification of ops/grouped_linear.h, on any scalar: every segment is a dense product.
#pragma once

#include "kernels/reference/linear.h"

namespace switchyard::kernels::reference {

/// segments: S triples {expert, first row, number of rows}.
template <typename T>
void grouped_linear_forward(T* y, const T* x, const T* weight, const std::int32_t* segments, std::int64_t S,
                            std::int64_t O, std::int64_t I) {
  for (std::int64_t s = 0; s < S; ++s) {
    const std::int32_t* segment = segments + 3 * s;
    linear_forward<T>(y + segment[1] * O, x + segment[1] * I, weight + segment[0] * O * I, nullptr,
                      segment[2], O, I);
  }
}

/// dx: the rows of the segments are added to.
template <typename T>
void grouped_linear_backward_data(T* dx, const T* dy, const T* weight, const std::int32_t* segments,
                                  std::int64_t S, std::int64_t O, std::int64_t I) {
  for (std::int64_t s = 0; s < S; ++s) {
    const std::int32_t* segment = segments + 3 * s;
    linear_backward_data(dx + segment[1] * I, dy + segment[1] * O, weight + segment[0] * O * I, segment[2], O,
                         I);
  }
}

template <typename T>
void grouped_linear_backward_weight(T* dweight, const T* dy, const T* x, const std::int32_t* segments,
                                    std::int64_t S, std::int64_t O, std::int64_t I) {
  for (std::int64_t s = 0; s < S; ++s) {
    const std::int32_t* segment = segments + 3 * s;
    linear_backward_weight(dweight + segment[0] * O * I, dy + segment[1] * O, x + segment[1] * I, segment[2],
                           O, I);
  }
}

}  // namespace switchyard::kernels::reference
