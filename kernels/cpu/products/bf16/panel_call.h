// What a unit is asked to multiply: the same words for vdpbf16ps and for tiles.
#pragma once

#include "kernels/cpu/grid.h"
#include "kernels/cpu/products/ahead.h"
#include "kernels/cpu/products/bf16/pairs.h"

namespace switchyard::kernels {
namespace {

/// Some rows times one panel: out or partial = [partial +] a * b.
struct PanelCall {
  const std::uint16_t* a;  ///< (rows, depth) in place; unused by packed left operands
  std::int64_t lda;
  const std::uint32_t* b;  ///< panel, padded_depth(depth) / 2 rows
  std::int64_t stride;
  std::int64_t depth;
  std::int64_t columns;
  float* partial;  ///< (rows rounded up to 16, stride): what the sums start from and go to
  std::int64_t ld_partial;
  bool continues;  ///< the sums start from `partial`, else from 0
  bool ends;       ///< the sums go to `out`, else to `partial`
  Output out;
};

/// Rows [first, first + count) of a left operand of `rows` rows that Unit::pack_left has packed. What lies
/// before `skip` in the depth is zero and need not be read.
struct PackedLeft {
  const std::uint32_t* data;
  std::int64_t rows;
  std::int64_t first;
  std::int64_t count;
  std::int64_t skip;
  Ahead ahead;  ///< what is needed after these rows
  Ahead later;  ///< what is needed long after, at most a line for each pair of the depth
};

/// Exact sums (ops/gradient_sum.h) that the columns of a product are added to.
struct GridSums {
  std::int64_t* to = nullptr;  ///< (rows, columns)
  std::int64_t ld = 0;         ///< from row to row
  std::int64_t limit = 0;
  std::int64_t* refused = nullptr;  ///< counts values that are not finite or beyond the limit

  /// Adds values (count, columns), rows `ld_values` apart.
  void add(const float* values, std::int64_t ld_values, std::int64_t count, std::int64_t columns) const {
    for (std::int64_t r = 0; r < count; ++r)
      *refused += add_to_grid(to + r * ld, values + r * ld_values, columns, limit);
  }
};

}  // namespace
}  // namespace switchyard::kernels
