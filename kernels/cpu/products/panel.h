// Right operands of tiles, copied so that a tile reads them from one end to the other.
#pragma once

#include "kernels/cpu/products/tile.h"

namespace switchyard::kernels {
namespace {

inline std::int64_t at_most(std::int64_t value, std::int64_t limit) {
  return value < limit ? value : limit;
}

/// Columns cut into panels of at most `most_vecs` vectors, as even as they go.
struct Panels {
  explicit Panels(std::int64_t all_columns, std::int64_t most_vecs = kTileVecs)
      : columns(all_columns),
        vecs((all_columns + Vec::kWidth - 1) / Vec::kWidth),
        count((vecs + most_vecs - 1) / most_vecs) {}

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

/// to (4, kWidth) = transpose of from (kWidth, 4), rows ld_to and ld_from apart.
inline void transpose_four(float* to, std::int64_t ld_to, const float* from, std::int64_t ld_from) {
#if defined(__AVX2__)
  // Lane by lane of 128 bits: row r of a lane's four rows by four columns.
  const auto rows = [&](std::int64_t r) {
#if defined(__AVX512F__)
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(from + r * ld_from));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(from + (r + 4) * ld_from), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(from + (r + 8) * ld_from), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(from + (r + 12) * ld_from), 3);
  };
  const __m512 r0 = rows(0), r1 = rows(1), r2 = rows(2), r3 = rows(3);
  const __m512 low01 = _mm512_unpacklo_ps(r0, r1), high01 = _mm512_unpackhi_ps(r0, r1);
  const __m512 low23 = _mm512_unpacklo_ps(r2, r3), high23 = _mm512_unpackhi_ps(r2, r3);
  Vec{_mm512_shuffle_ps(low01, low23, 0x44)}.store(to);
  Vec{_mm512_shuffle_ps(low01, low23, 0xee)}.store(to + ld_to);
  Vec{_mm512_shuffle_ps(high01, high23, 0x44)}.store(to + 2 * ld_to);
  Vec{_mm512_shuffle_ps(high01, high23, 0xee)}.store(to + 3 * ld_to);
#else
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from + r * ld_from)),
                                _mm_loadu_ps(from + (r + 4) * ld_from), 1);
  };
  const __m256 r0 = rows(0), r1 = rows(1), r2 = rows(2), r3 = rows(3);
  const __m256 low01 = _mm256_unpacklo_ps(r0, r1), high01 = _mm256_unpackhi_ps(r0, r1);
  const __m256 low23 = _mm256_unpacklo_ps(r2, r3), high23 = _mm256_unpackhi_ps(r2, r3);
  Vec{_mm256_shuffle_ps(low01, low23, 0x44)}.store(to);
  Vec{_mm256_shuffle_ps(low01, low23, 0xee)}.store(to + ld_to);
  Vec{_mm256_shuffle_ps(high01, high23, 0x44)}.store(to + 2 * ld_to);
  Vec{_mm256_shuffle_ps(high01, high23, 0xee)}.store(to + 3 * ld_to);
#endif
#else
  for (std::int64_t k = 0; k < 4; ++k)
    for (std::int64_t r = 0; r < Vec::kWidth; ++r) to[k * ld_to + r] = from[r * ld_from + k];
#endif
}

/// panel (depth, stride) = transpose of source (width, depth), rows `ld` apart; zeros behind the width.
inline void pack_transposed(float* panel, std::int64_t stride, const float* source, std::int64_t ld,
                            std::int64_t depth, std::int64_t width) {
  std::int64_t c = 0;
  for (; c + Vec::kWidth <= width; c += Vec::kWidth) {
    std::int64_t k = 0;
    for (; k + 4 <= depth; k += 4) transpose_four(panel + k * stride + c, stride, source + c * ld + k, ld);
    for (; k < depth; ++k)
      for (std::int64_t r = c; r < c + Vec::kWidth; ++r) panel[k * stride + r] = source[r * ld + k];
  }
  if (c == stride) return;
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t r = c; r < width; ++r) panel[k * stride + r] = source[r * ld + k];
    for (std::int64_t r = width; r < stride; ++r) panel[k * stride + r] = 0;
  }
}

}  // namespace
}  // namespace switchyard::kernels
