#include "kernels/cuda/products/dense/rows.h"

#include <algorithm>

namespace switchyard::kernels::cuda {

ColumnMajor column_major(const DenseRows& product) {
  // A row-major matrix is its own transpose by columns: C^T is wanted, so the weight comes first.
  return {product.columns,
          product.N,
          product.depth,
          !product.weight_is_across,
          product.weight_is_across ? product.columns : product.depth,
          product.depth,
          product.columns};
}

int row_alignment(const DenseRows& product) {
  const auto operand = static_cast<std::int64_t>(dtype_size(product.operands));
  const std::int64_t weight_row = product.weight_is_across ? product.columns : product.depth;
  const std::int64_t rows[] = {product.depth * operand, weight_row * operand,
                               product.columns * static_cast<std::int64_t>(dtype_size(product.result_dtype))};
  std::int64_t alignment = 16;
  for (const std::int64_t bytes : rows) alignment = std::min(alignment, bytes & -bytes);
  return static_cast<int>(alignment);
}

int choose_candidate(std::span<const Candidate> candidates) {
  const auto found = std::find_if(candidates.begin(), candidates.end(), [](const Candidate& candidate) {
    return !candidate.splits_depth && candidate.serves_all_rows;
  });
  return found == candidates.end() ? -1 : static_cast<int>(found - candidates.begin());
}

}  // namespace switchyard::kernels::cuda
