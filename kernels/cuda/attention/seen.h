// Who sees whom. Device code.
#pragma once

#include "kernels/cuda/attention/kernels.h"

namespace switchyard::kernels::cuda {

/// Keys [first, end) that query t sees.
struct Range {
  std::int32_t first;
  std::int32_t end;
};
__device__ inline Range keys_of(const AttentionShape& shape, std::int32_t t) {
  const std::int32_t own = shape.S - shape.T + t;
  const bool all = shape.window == 0 || own < shape.window;
  return {all ? 0 : own - shape.window + 1, own + 1};
}

/// Queries [first, end) that see key s; S == T.
__device__ inline Range queries_of(const AttentionShape& shape, std::int32_t s) {
  const std::int32_t end = s + (shape.window == 0 ? shape.T : shape.window);
  return {s, end < shape.T && end > s ? end : shape.T};
}

/// First element of row (b, t) of head h in a tensor (B, rows, heads, D).
__device__ inline std::int64_t at(const AttentionShape& shape, std::int32_t b, std::int32_t t,
                                  std::int32_t rows, std::int32_t h, std::int32_t heads) {
  return ((static_cast<std::int64_t>(b) * rows + t) * heads + h) * shape.D;
}
/// Of query (b, h, t) in lse and delta.
__device__ inline std::int64_t statistic(const AttentionShape& shape, std::int32_t b, std::int32_t h,
                                         std::int32_t t) {
  return (static_cast<std::int64_t>(b) * shape.H + h) * shape.T + t;
}

}  // namespace switchyard::kernels::cuda
