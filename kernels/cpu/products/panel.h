// Right operands of tiles, copied so that a tile reads them from one end to the other.
#pragma once

#include "kernels/cpu/products/tile.h"

namespace switchyard::kernels {
namespace {

/// Columns cut into panels of at most kTileVecs vectors, as even as they go.
struct Panels {
  explicit Panels(std::int64_t all_columns)
      : columns(all_columns),
        vecs((all_columns + Vec::kWidth - 1) / Vec::kWidth),
        count((vecs + kTileVecs - 1) / kTileVecs) {}

  std::int64_t begin(std::int64_t panel) const { return panel * vecs / count * Vec::kWidth; }
  /// Real columns of a panel.
  std::int64_t width(std::int64_t panel) const {
    const std::int64_t end = begin(panel + 1) < columns ? begin(panel + 1) : columns;
    return end - begin(panel);
  }
  /// Floats of one row of a packed panel, zeros behind the real columns included.
  std::int64_t stride(std::int64_t panel) const { return begin(panel + 1) - begin(panel); }
  std::int64_t padded_columns() const { return vecs * Vec::kWidth; }

  std::int64_t columns;
  std::int64_t vecs;
  std::int64_t count;
};

/// panel (depth, stride) = source (depth, width), rows `ld` apart; zeros behind the width.
inline void pack_rows(float* panel, std::int64_t stride, const float* source, std::int64_t ld,
                      std::int64_t depth, std::int64_t width) {
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t c = 0; c < stride; c += Vec::kWidth) {
      const std::int64_t n = width - c;
      const float* from = source + k * ld + c;
      (n >= Vec::kWidth ? Vec::load(from) : Vec::load(from, n)).store(panel + k * stride + c);
    }
  }
}

/// panel (depth, stride) = transpose of source (width, depth), rows `ld` apart; zeros behind the width.
inline void pack_transposed(float* panel, std::int64_t stride, const float* source, std::int64_t ld,
                            std::int64_t depth, std::int64_t width) {
  for (std::int64_t k = 0; k < depth; ++k) {
    float* to = panel + k * stride;
    for (std::int64_t c = 0; c < width; ++c) to[c] = source[c * ld + k];
    for (std::int64_t c = width; c < stride; ++c) to[c] = 0;
  }
}

}  // namespace
}  // namespace switchyard::kernels
