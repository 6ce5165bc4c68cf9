#include "kernels/ops/grouped_linear.h"

namespace switchyard::kernels {

namespace {

// Checks the table where it can be read, and returns how many rows it covers (all of them on a device).
std::int64_t check_segments(const char* what, ConstTensorView segments, std::int64_t rows,
                            std::int64_t experts) {
  const std::int64_t S = segments.dim(0);
  check_tensor(what, segments, DType::i32, {S, 3});
  if (segments.device() != Device::cpu) return rows;
  const auto* table = segments.data<std::int32_t>();
  std::int64_t covered = 0;
  for (std::int64_t s = 0; s < S; ++s) {
    const std::int64_t expert = table[3 * s];
    const std::int64_t first = table[3 * s + 1];
    const std::int64_t count = table[3 * s + 2];
    SWITCHYARD_CHECK(expert >= 0 && expert < experts, "{}: segment {} names local expert {} of {}", what, s,
                     expert, experts);
    SWITCHYARD_CHECK(first >= 0 && count >= 0 && first + count <= rows,
                     "{}: segment {} covers rows [{}, {}) of {}", what, s, first, first + count, rows);
    covered += count;
  }
  return covered;
}

double product_flops(std::int64_t rows, std::int64_t O, std::int64_t I) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(O) * static_cast<double>(I);
}
// Least traffic: the covered rows and every expert's weight (or its sums, read and written) once.
double product_bytes(DType A, std::int64_t rows, std::int64_t O, std::int64_t I, double weight_bytes) {
  return static_cast<double>(rows * (I + O)) * element_bytes(A) + weight_bytes;
}

}  // namespace

void grouped_linear_forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                            ConstTensorView segments) {
  const std::int64_t M = x.dim(0);
  const std::int64_t I = x.dim(1);
  const std::int64_t E_loc = weight.dim(0);
  const std::int64_t O = weight.dim(1);
  const DType A = check_activation("grouped_linear_forward: x", x, {M, I});
  check_tensor("grouped_linear_forward: y", y, A, {M, O});
  check_tensor("grouped_linear_forward: weight", weight, A, {E_loc, O, I});
  const std::int64_t rows = check_segments("grouped_linear_forward: segments", segments, M, E_loc);
  const TraceScope trace(context.trace(), "grouped_linear_forward", product_flops(rows, O, I),
                         product_bytes(A, rows, O, I, static_cast<double>(weight.bytes())));
  with_backend(context,
               [&](auto backend) { GroupedLinear<backend()>::forward(context, y, x, weight, segments); });
}

void grouped_linear_backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                                  ConstTensorView segments) {
  const std::int64_t M = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  const std::int64_t E_loc = weight.dim(0);
  const std::int64_t I = weight.dim(2);
  const DType A = check_activation("grouped_linear_backward_data: dy", dy, {M, O});
  check_tensor("grouped_linear_backward_data: dx", dx, A, {M, I});
  check_tensor("grouped_linear_backward_data: weight", weight, A, {E_loc, O, I});
  const std::int64_t rows = check_segments("grouped_linear_backward_data: segments", segments, M, E_loc);
  const TraceScope trace(context.trace(), "grouped_linear_backward_data", product_flops(rows, O, I),
                         product_bytes(A, rows, O, I, static_cast<double>(weight.bytes())));
  with_backend(context, [&](auto backend) {
    GroupedLinear<backend()>::backward_data(context, dx, dy, weight, segments);
  });
}

void grouped_linear_backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                                    ConstTensorView x, ConstTensorView segments) {
  const std::int64_t M = dy.dim(0);
  const std::int64_t O = dy.dim(1);
  const std::int64_t I = x.dim(1);
  const std::int64_t E_loc = dweight.sums.dim(0);
  const DType A = check_activation("grouped_linear_backward_weight: dy", dy, {M, O});
  check_tensor("grouped_linear_backward_weight: x", x, A, {M, I});
  check_tensor("grouped_linear_backward_weight: dweight", dweight.sums, DType::i64, {E_loc, O, I});
  const std::int64_t rows = check_segments("grouped_linear_backward_weight: segments", segments, M, E_loc);
  const TraceScope trace(context.trace(), "grouped_linear_backward_weight", product_flops(rows, O, I),
                         product_bytes(A, rows, O, I, 2 * static_cast<double>(dweight.sums.bytes())));
  with_backend(context, [&](auto backend) {
    GroupedLinear<backend()>::backward_weight(context, dweight, dy, x, segments);
  });
}

}  // namespace switchyard::kernels
