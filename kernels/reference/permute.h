// Specification of ops/permute.h, on any scalar (double, or std::complex<double> for gradient checks).
#pragma once

#include <cstdint>

namespace switchyard::kernels::reference {

/// As the op: rows of expert 0 first, each expert's slots in slot order; -1 marks dropped slots and empty
/// rows.
inline void sort_slots(std::int32_t* count, std::int32_t* row_of_slot, std::int32_t* slot_of_row,
                       const std::int32_t* expert, std::int64_t N, std::int64_t K, std::int64_t E) {
  std::int32_t row = 0;
  for (std::int64_t slot = 0; slot < N * K; ++slot) row_of_slot[slot] = slot_of_row[slot] = -1;
  for (std::int64_t e = 0; e < E; ++e) {
    count[e] = 0;
    for (std::int64_t slot = 0; slot < N * K; ++slot) {
      if (expert[slot] != e) continue;
      ++count[e];
      row_of_slot[slot] = row;
      slot_of_row[row++] = static_cast<std::int32_t>(slot);
    }
  }
}

template <typename T>
void gather_rows_forward(T* rows, const T* x, const std::int32_t* slot_of_row, std::int64_t R, std::int64_t K,
                         std::int64_t C) {
  for (std::int64_t row = 0; row < R; ++row)
    for (std::int64_t c = 0; c < C; ++c) rows[row * C + c] = x[slot_of_row[row] / K * C + c];
}

/// dx (N, C) is overwritten.
template <typename T>
void gather_rows_backward(T* dx, const T* drows, const std::int32_t* row_of_slot, std::int64_t N,
                          std::int64_t K, std::int64_t C) {
  for (std::int64_t i = 0; i < N * C; ++i) dx[i] = 0;
  for (std::int64_t slot = 0; slot < N * K; ++slot) {
    if (row_of_slot[slot] < 0) continue;
    for (std::int64_t c = 0; c < C; ++c) dx[slot / K * C + c] += drows[row_of_slot[slot] * C + c];
  }
}

/// base may be null.
template <typename T>
void combine_rows_forward(T* y, const T* rows, const T* weight, const std::int32_t* row_of_slot,
                          const T* base, std::int64_t N, std::int64_t K, std::int64_t C) {
  for (std::int64_t i = 0; i < N * C; ++i) y[i] = base == nullptr ? T(0) : base[i];
  for (std::int64_t slot = 0; slot < N * K; ++slot) {
    if (row_of_slot[slot] < 0) continue;
    for (std::int64_t c = 0; c < C; ++c)
      y[slot / K * C + c] += weight[slot] * rows[row_of_slot[slot] * C + c];
  }
}

/// drows and dweight are overwritten, but for rows of drows without a slot.
template <typename T>
void combine_rows_backward(T* drows, T* dweight, const T* dy, const T* rows, const T* weight,
                           const std::int32_t* row_of_slot, std::int64_t N, std::int64_t K, std::int64_t C) {
  for (std::int64_t slot = 0; slot < N * K; ++slot) {
    dweight[slot] = 0;
    if (row_of_slot[slot] < 0) continue;
    for (std::int64_t c = 0; c < C; ++c) {
      const T d = dy[slot / K * C + c];
      dweight[slot] += rows[row_of_slot[slot] * C + c] * d;
      drows[row_of_slot[slot] * C + c] = weight[slot] * d;
    }
  }
}

}  // namespace switchyard::kernels::reference
