// Rows to their experts and back: a stable counting sort of (token, choice) slots by expert, and the moves by
// it. Rows of width C are A (kernels/README.md), sums over slots fp32; weight and dweight are f32.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// Sorts the slots of expert (N, K) i32 (-1 = dropped) by (expert, token). Overwrites count (E) i32: rows of
/// each expert; row_of_slot (N, K) i32: the slot's row in sorted order, -1 if dropped; slot_of_row (N * K)
/// i32: the slot (token * K + choice) at each sorted row; entries past the sum of the counts are -1.
void sort_slots(Context& context, TensorView count, TensorView row_of_slot, TensorView slot_of_row,
                ConstTensorView expert);

/// rows (R, C) = x (N, C)[slot_of_row / K] for the first R entries of slot_of_row, none of which is -1.
void gather_rows_forward(Context& context, TensorView rows, ConstTensorView x, ConstTensorView slot_of_row,
                         std::int64_t K);

/// dx (N, C) = sum over k in order of drows (R, C)[row_of_slot (N, K)], dropped slots skipped; overwritten.
void gather_rows_backward(Context& context, TensorView dx, ConstTensorView drows,
                          ConstTensorView row_of_slot);

/// y (N, C) = base (N, C) (or 0 where absent) + sum over k in order of weight (N, K) * rows (R,
/// C)[row_of_slot (N, K)]; y may be the memory of base.
void combine_rows_forward(Context& context, TensorView y, ConstTensorView rows, ConstTensorView weight,
                          ConstTensorView row_of_slot, ConstTensorView base);

/// drows (R, C)[row_of_slot] = weight * dy (N, C); dweight (N, K) = dot(rows[row_of_slot], dy), 0 for dropped
/// slots; both overwritten (every row of drows has a slot). drows may be the memory of rows.
void combine_rows_backward(Context& context, TensorView drows, TensorView dweight, ConstTensorView dy,
                           ConstTensorView rows, ConstTensorView weight, ConstTensorView row_of_slot);

template <Backend>
struct Permute {
  static void sort_slots(Context& context, TensorView count, TensorView row_of_slot, TensorView slot_of_row,
                         ConstTensorView expert);
  static void gather_forward(Context& context, TensorView rows, ConstTensorView x,
                             ConstTensorView slot_of_row, std::int64_t K);
  static void gather_backward(Context& context, TensorView dx, ConstTensorView drows,
                              ConstTensorView row_of_slot);
  static void combine_forward(Context& context, TensorView y, ConstTensorView rows, ConstTensorView weight,
                              ConstTensorView row_of_slot, ConstTensorView base);
  static void combine_backward(Context& context, TensorView drows, TensorView dweight, ConstTensorView dy,
                               ConstTensorView rows, ConstTensorView weight, ConstTensorView row_of_slot);
};

}  // namespace switchyard::kernels
