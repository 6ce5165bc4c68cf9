#include "kernels/ops/permute.h"

namespace switchyard::kernels {

namespace {

// Indices are looked at here once, so that no back end can be led outside its memory.
void check_indices(const char* what, ConstTensorView indices, std::int64_t low, std::int64_t high) {
  if (indices.device() != Device::cpu) return;
  const auto* values = indices.data<std::int32_t>();
  for (std::int64_t i = 0; i < indices.elements(); ++i)
    SWITCHYARD_CHECK(values[i] >= low && values[i] < high, "{} must be in [{}, {}); got {} at {}", what, low,
                     high, values[i], i);
}

}  // namespace

void sort_slots(Context& context, TensorView count, TensorView row_of_slot, TensorView slot_of_row,
                ConstTensorView expert) {
  const std::int64_t N = expert.dim(0);
  const std::int64_t K = expert.dim(1);
  const std::int64_t E = count.dim(0);
  check_tensor("sort_slots: expert", expert, DType::i32, {N, K});
  check_tensor("sort_slots: count", count, DType::i32, {E});
  check_tensor("sort_slots: row_of_slot", row_of_slot, DType::i32, {N, K});
  check_tensor("sort_slots: slot_of_row", slot_of_row, DType::i32, {N * K});
  SWITCHYARD_CHECK(N * K <= INT32_MAX, "sort_slots: {} slots do not fit 32 bits", N * K);
  check_indices("sort_slots: expert", expert, -1, E);
  const TraceScope trace(context.trace(), "sort_slots", 0, 16 * static_cast<double>(N * K));
  with_backend(context, [&](auto backend) {
    Permute<backend()>::sort_slots(context, count, row_of_slot, slot_of_row, expert);
  });
}

void gather_rows_forward(Context& context, TensorView rows, ConstTensorView x, ConstTensorView slot_of_row,
                         std::int64_t K) {
  const std::int64_t R = rows.dim(0);
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const DType A = check_activation("gather_rows_forward: x", x, {N, C});
  check_tensor("gather_rows_forward: rows", rows, A, {R, C});
  check_tensor("gather_rows_forward: slot_of_row", slot_of_row, DType::i32, {slot_of_row.dim(0)});
  SWITCHYARD_CHECK(K >= 1 && R <= slot_of_row.dim(0),
                   "gather_rows_forward: needs K >= 1 and at most {} rows; got K {} and {} rows",
                   slot_of_row.dim(0), K, R);
  check_indices("gather_rows_forward: slot_of_row", slot_of_row.rows(0, R), 0, N * K);
  const TraceScope trace(context.trace(), "gather_rows_forward", 0,
                         2 * static_cast<double>(R * C) * element_bytes(A));
  with_backend(context,
               [&](auto backend) { Permute<backend()>::gather_forward(context, rows, x, slot_of_row, K); });
}

void gather_rows_backward(Context& context, TensorView dx, ConstTensorView drows,
                          ConstTensorView row_of_slot) {
  const std::int64_t N = dx.dim(0);
  const std::int64_t C = dx.dim(1);
  const std::int64_t K = row_of_slot.dim(1);
  const DType A = check_activation("gather_rows_backward: dx", dx, {N, C});
  check_tensor("gather_rows_backward: drows", drows, A, {drows.dim(0), C});
  check_tensor("gather_rows_backward: row_of_slot", row_of_slot, DType::i32, {N, K});
  check_indices("gather_rows_backward: row_of_slot", row_of_slot, -1, drows.dim(0));
  const auto moved = static_cast<double>(N * K * C);
  const TraceScope trace(context.trace(), "gather_rows_backward", moved,
                         (moved + static_cast<double>(N * C)) * element_bytes(A));
  with_backend(context,
               [&](auto backend) { Permute<backend()>::gather_backward(context, dx, drows, row_of_slot); });
}

void combine_rows_forward(Context& context, TensorView y, ConstTensorView rows, ConstTensorView weight,
                          ConstTensorView row_of_slot, ConstTensorView base) {
  const std::int64_t N = y.dim(0);
  const std::int64_t C = y.dim(1);
  const std::int64_t K = row_of_slot.dim(1);
  const DType A = check_activation("combine_rows_forward: y", y, {N, C});
  check_tensor("combine_rows_forward: rows", rows, A, {rows.dim(0), C});
  check_tensor("combine_rows_forward: weight", weight, DType::f32, {N, K});
  check_tensor("combine_rows_forward: row_of_slot", row_of_slot, DType::i32, {N, K});
  if (base.present()) check_tensor("combine_rows_forward: base", base, A, {N, C});
  check_indices("combine_rows_forward: row_of_slot", row_of_slot, -1, rows.dim(0));
  const auto moved = static_cast<double>(N * K * C);
  const TraceScope trace(context.trace(), "combine_rows_forward", 2 * moved,
                         (moved + 2 * static_cast<double>(N * C)) * element_bytes(A));
  with_backend(context, [&](auto backend) {
    Permute<backend()>::combine_forward(context, y, rows, weight, row_of_slot, base);
  });
}

void combine_rows_backward(Context& context, TensorView drows, TensorView dweight, ConstTensorView dy,
                           ConstTensorView rows, ConstTensorView weight, ConstTensorView row_of_slot) {
  const std::int64_t N = dy.dim(0);
  const std::int64_t C = dy.dim(1);
  const std::int64_t K = row_of_slot.dim(1);
  const DType A = check_activation("combine_rows_backward: dy", dy, {N, C});
  check_tensor("combine_rows_backward: drows", drows, A, {rows.dim(0), C});
  check_tensor("combine_rows_backward: dweight", dweight, DType::f32, {N, K});
  check_tensor("combine_rows_backward: rows", rows, A, {rows.dim(0), C});
  check_tensor("combine_rows_backward: weight", weight, DType::f32, {N, K});
  check_tensor("combine_rows_backward: row_of_slot", row_of_slot, DType::i32, {N, K});
  check_indices("combine_rows_backward: row_of_slot", row_of_slot, -1, rows.dim(0));
  const auto moved = static_cast<double>(N * K * C);
  const TraceScope trace(context.trace(), "combine_rows_backward", 3 * moved,
                         (2 * moved + static_cast<double>(N * C)) * element_bytes(A));
  with_backend(context, [&](auto backend) {
    Permute<backend()>::combine_backward(context, drows, dweight, dy, rows, weight, row_of_slot);
  });
}

}  // namespace switchyard::kernels
