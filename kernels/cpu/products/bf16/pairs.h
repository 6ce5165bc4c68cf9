// bf16 operands as pairs of neighbours along the depth, the form that both units take: a panel is
// (depth / 2, stride) of 32-bit words, the earlier neighbour in the lower half. A tile of AMX is 16 such rows
// of 16 words.
#pragma once

#include <cstdint>

#include "kernels/cpu/products/panel.h"

namespace switchyard::kernels {
namespace {

/// Depth that a transposing pack fills at a time; panels are padded to it with zeros.
constexpr std::int64_t kDepthStep = 32;

constexpr std::int64_t padded_depth(std::int64_t depth) {
  return (depth + kDepthStep - 1) / kDepthStep * kDepthStep;
}

inline __mmask32 first_elements(std::int64_t n) {
  return n >= 32 ? 0xffffffffU : (1U << static_cast<unsigned>(n)) - 1U;
}

/// Rows r and columns c of 32-bit words change places.
inline void transpose_16(__m512i rows[16]) {
  __m512i pairs[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  __m512i fours[16];  // of rows 4g .. 4g + 3: column 4 * lane + i in lane `lane` of fours[4g + i]
#pragma GCC unroll 4
  for (int g = 0; g < 16; g += 4) {
    fours[g] = _mm512_unpacklo_epi64(pairs[g], pairs[g + 2]);
    fours[g + 1] = _mm512_unpackhi_epi64(pairs[g], pairs[g + 2]);
    fours[g + 2] = _mm512_unpacklo_epi64(pairs[g + 1], pairs[g + 3]);
    fours[g + 3] = _mm512_unpackhi_epi64(pairs[g + 1], pairs[g + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i even_low = _mm512_shuffle_i32x4(fours[i], fours[4 + i], 0x88);  // lanes 0, 2 of both
    const __m512i odd_low = _mm512_shuffle_i32x4(fours[i], fours[4 + i], 0xdd);
    const __m512i even_high = _mm512_shuffle_i32x4(fours[8 + i], fours[12 + i], 0x88);
    const __m512i odd_high = _mm512_shuffle_i32x4(fours[8 + i], fours[12 + i], 0xdd);
    rows[i] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    rows[4 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    rows[8 + i] = _mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    rows[12 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
}

/// panel (padded_depth / 2, stride) = pairs along the rows of source (width, depth), `ld` elements apart;
/// zeros behind the width and the depth. stride is a multiple of 16.
inline void pack_pairs_transposed(std::uint32_t* panel, std::int64_t stride, const std::uint16_t* source,
                                  std::int64_t ld, std::int64_t depth, std::int64_t width) {
  for (std::int64_t c = 0; c < stride; c += 16) {
    const std::int64_t columns = at_most(width - c, 16);
    for (std::int64_t k = 0; k < depth; k += kDepthStep) {
      const __mmask32 present = first_elements(depth - k);
      __m512i rows[16];
#pragma GCC unroll 16
      for (std::int64_t r = 0; r < 16; ++r)
        rows[r] = r < columns ? _mm512_maskz_loadu_epi16(present, source + (c + r) * ld + k)
                              : _mm512_setzero_si512();
      transpose_16(rows);
#pragma GCC unroll 16
      for (std::int64_t r = 0; r < 16; ++r) _mm512_storeu_si512(panel + (k / 2 + r) * stride + c, rows[r]);
    }
  }
}

/// Words of 32 columns: each the element of `early` in the lower half and that of `late` in the upper.
struct PairWords {
  __m512i first, last;  ///< of the first 16 columns, of the last 16

  PairWords(__m512i early, __m512i late) {
    const __m512i column = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i order =
        _mm512_or_si512(column, _mm512_add_epi32(_mm512_slli_epi32(column, 16), _mm512_set1_epi32(0x200000)));
    first = _mm512_permutex2var_epi16(early, order, late);
    last = _mm512_permutex2var_epi16(early, _mm512_add_epi32(order, _mm512_set1_epi32(0x100010)), late);
  }
};

/// Pairs down the columns of source (depth, width), rows `ld` apart; zeros behind the width and the depth.
struct PairsOfRows {
  const std::uint16_t* source;
  std::int64_t ld;
  std::int64_t depth;
  std::int64_t width;

  /// Rows 2 * pair and 2 * pair + 1, columns [c, c + 32).
  PairWords words(std::int64_t pair, std::int64_t c) const {
    const std::uint16_t* from = source + 2 * pair * ld + c;
    if (2 * pair + 1 < depth && c + 32 <= width) [[likely]]
      return {_mm512_loadu_si512(from), _mm512_loadu_si512(from + ld)};
    const __mmask32 present = c < width ? first_elements(width - c) : 0;
    return {_mm512_maskz_loadu_epi16(2 * pair < depth ? present : 0, from),
            _mm512_maskz_loadu_epi16(2 * pair + 1 < depth ? present : 0, from + ld)};
  }
};

/// panel (padded_depth / 2, stride) = pairs down the columns of source (depth, width), rows `ld` elements
/// apart; zeros behind the width and the depth.
inline void pack_pairs_of_rows(std::uint32_t* panel, std::int64_t stride, const std::uint16_t* source,
                               std::int64_t ld, std::int64_t depth, std::int64_t width) {
  const PairsOfRows pairs{source, ld, depth, width};
  for (std::int64_t pair = 0; pair < padded_depth(depth) / 2; ++pair, panel += stride) {
    for (std::int64_t c = 0; c < stride; c += 32) {
      const PairWords words = pairs.words(pair, c);
      _mm512_storeu_si512(panel + c, words.first);
      if (c + 16 < stride) _mm512_storeu_si512(panel + c + 16, words.last);
    }
  }
}

/// bf16 to fp32: the first n of 16, zeros behind them.
inline __m512 load_wide(const std::uint16_t* p, std::int64_t n) {
  const auto present = static_cast<__mmask16>(first_elements(at_most(n, 16)));
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(present, p)), 16));
}

/// fp32 to bf16, to the nearest, ties to even; NaN stays NaN. Not vcvtneps2bf16, which drops denormals.
inline __m256i round_to_bf16(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
}

/// Where the columns of a product go once their sums are complete.
struct Output {
  void* to;           ///< (rows, columns)
  std::int64_t ld;    ///< elements from row to row
  bool is_bf16;       ///< else f32
  bool add;           ///< to what is there
  const float* bias;  ///< of these columns, or null

  Output from(std::int64_t row, std::int64_t column) const {
    const std::int64_t offset = row * ld + column;
    return {is_bf16 ? static_cast<void*>(static_cast<std::uint16_t*>(to) + offset)
                    : static_cast<void*>(static_cast<float*>(to) + offset),
            ld, is_bf16, add, bias != nullptr ? bias + column : nullptr};
  }
  /// The first n of 16 sums, at (row, column).
  void store(__m512 sums, std::int64_t row, std::int64_t column, std::int64_t n) const {
    const auto present = static_cast<__mmask16>(first_elements(at_most(n, 16)));
    if (bias != nullptr) sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(present, bias + column));
    if (is_bf16) {
      std::uint16_t* at = static_cast<std::uint16_t*>(to) + row * ld + column;
      if (add) sums = _mm512_add_ps(sums, load_wide(at, n));
      _mm256_mask_storeu_epi16(at, present, round_to_bf16(sums));
    } else {
      float* at = static_cast<float*>(to) + row * ld + column;
      if (add) sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(present, at));
      _mm512_mask_storeu_ps(at, present, sums);
    }
  }
};

}  // namespace
}  // namespace switchyard::kernels
