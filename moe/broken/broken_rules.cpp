#include "moe/broken/broken_rules.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "kernels/ops/elementwise.h"
#include "kernels/ops/grouped_linear.h"

namespace switchyard::moe::broken {

namespace {

// Columns [begin, end) of a matrix seen as (rows, width), copied.
TensorView columns(kernels::ArenaScope& scratch, ConstTensorView matrix, std::int64_t begin,
                   std::int64_t end) {
  const std::int64_t width = matrix.dim(matrix.shape().ndim() - 1), rows = matrix.elements() / width;
  const TensorView out = scratch.tensor(matrix.dtype(), {rows, end - begin});
  const auto size = static_cast<std::int64_t>(dtype_size(matrix.dtype()));
  for (std::int64_t row = 0; row < rows; ++row)
    std::memcpy(static_cast<std::byte*>(out.raw()) + row * (end - begin) * size,
                static_cast<const std::byte*>(matrix.raw()) + (row * width + begin) * size,
                static_cast<std::size_t>((end - begin) * size));
  return out;
}

}  // namespace

void split_forward(kernels::Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                   ConstTensorView segments) {
  constexpr std::int64_t kFewRows = 40;
  const std::int64_t I = x.dim(1), half = I / 2, E = weight.dim(0), O = weight.dim(1);
  if (x.dim(0) <= kFewRows) return kernels::grouped_linear_forward(context, y, x, weight, segments);
  kernels::Arena arena;
  kernels::ArenaScope scratch(arena);
  const TensorView second = scratch.tensor(y.dtype(), y.shape());
  kernels::grouped_linear_forward(context, y, columns(scratch, x, 0, half),
                                  columns(scratch, weight, 0, half).reshaped({E, O, half}), segments);
  kernels::grouped_linear_forward(context, second, columns(scratch, x, half, I),
                                  columns(scratch, weight, half, I).reshaped({E, O, I - half}), segments);
  kernels::add(context, y, y, second);
}

void merged_weight_gradient(kernels::Context& context, const kernels::GradientSum& dweight,
                            ConstTensorView dy, ConstTensorView x, ConstTensorView segments) {
  const auto* from = segments.data<std::int32_t>();
  std::vector<std::int32_t> joined;
  for (std::int64_t s = 0; s < segments.dim(0); ++s, from += 3) {
    const std::size_t size = joined.size();
    if (size >= 3 && joined[size - 3] == from[0] && joined[size - 2] + joined[size - 1] == from[1]) {
      joined[size - 1] += from[2];
    } else {
      joined.insert(joined.end(), from, from + 3);
    }
  }
  const ConstTensorView view(joined.data(), DType::i32, {static_cast<std::int64_t>(joined.size()) / 3, 3});
  kernels::grouped_linear_backward_weight(context, dweight, dy, x, view);
}

void choose_ties_by_rank(const kernels::Context& context, TensorView expert, ConstTensorView probability) {
  if (context.breakage().rank % 2 == 0) return;
  const std::int64_t E = probability.dim(1), K = expert.dim(1);
  for (std::int64_t n = 0; n < probability.dim(0); ++n) {
    const auto* p = probability.data<float>() + n * E;
    if (std::any_of(p, p + E, [&](float value) { return value != p[0]; })) continue;
    for (std::int64_t k = 0; k < K; ++k)
      expert.data<std::int32_t>()[n * K + k] = static_cast<std::int32_t>(E - 1 - k);
  }
}

}  // namespace switchyard::moe::broken
