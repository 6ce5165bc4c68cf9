// Exact sums of parameter gradients.
//
// A gradient is a sum over all rows (tokens) of a step. Floating-point addition would make it depend on who
// adds first. So: the rows of one segment (the rows of one micro-batch that meet one weight) are cut, from
// the segment's start, into blocks of kGradientBlockRows. A block's gradient is formed in fp32 in row order,
// rounded once (to nearest, ties to even) to a multiple of 2^-kGridExponent and added to a 64-bit integer.
// Integer addition is exact, so blocks, threads, micro-batches and ranks may add in any order.
#pragma once

#include <cstdint>

#include "kernels/ops/gradient_grid.h"
#include "kernels/runtime/tensor.h"

namespace switchyard::kernels {

/// Where the gradient of one parameter is added up. A view: the model owns the memory.
struct GradientSum {
  TensorView sums;         ///< i64, the parameter's shape, in units of kGridUnit
  TensorView overflow;     ///< i64 (1): counts values that were NaN or beyond the limit; those add 0
  std::int64_t limit = 0;  ///< greatest magnitude one block may add, in grid units; see gradient_limit

  /// The part that belongs to rows [begin, begin + count) of the parameter's dim 0.
  GradientSum rows(std::int64_t begin, std::int64_t count) const {
    return {sums.rows(begin, count), overflow, limit};
  }
};

/// The limit at which `additions` blocks cannot overflow 64 bits: floor(2^62 / additions).
constexpr std::int64_t gradient_limit(std::int64_t additions) {
  return (std::int64_t{1} << 62) / additions;
}

}  // namespace switchyard::kernels
