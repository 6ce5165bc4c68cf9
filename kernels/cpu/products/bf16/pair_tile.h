// The register tile of vdpbf16ps: a few rows times a few vectors of columns, all sums in registers. One chain
// for each element, in the order told in products.h whatever the tile's size.
#pragma once

#include "kernels/cpu/products/ahead.h"
#include "kernels/cpu/products/bf16/pairs.h"
#include "kernels/cpu/products/bf16/panel_call.h"

namespace switchyard::kernels {
namespace {

constexpr int kPairRows = 8;  // 24 sums, 3 vectors of B and a broadcast of A fit 32 registers
constexpr int kPairVecs = 3;

/// Where the pair (m, k) of the left operand lies: elements 2k and 2k + 1 of row m (in place), or word m of
/// row k of a panel.
enum class LeftPairs { rows, panel };

struct PairCall {
  const void* a;
  std::int64_t lda;  ///< elements from row to row, or words of a panel's row
  const std::uint32_t* b;
  std::int64_t ldb;
  std::int64_t depth;  ///< in elements; an odd one has no later neighbour
  std::int64_t columns;
  float* partial;  ///< (kPairRows, ld_partial) sums; null: nothing to start from, and all go to `out`
  std::int64_t ld_partial;
  bool continues;  ///< the sums start from `partial`
  bool ends;       ///< the sums go to `out`, else to `partial`
  Output out;
  Ahead ahead;
  Ahead later;
  GridSums grid;  ///< where the sums go instead if every vector of columns is whole
};

inline std::uint32_t load_word(const char* p) {
  std::uint32_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

inline __m512bh every_lane(std::uint32_t pair) {
  return (__m512bh)_mm512_set1_epi32(static_cast<int>(pair));
}

inline __m512bh right_pairs(const std::uint32_t* p) {
  return (__m512bh)_mm512_loadu_si512(p);
}

// Not inlined: among a caller's values the compiler would keep some of the sums in memory.
template <int kRows, int kVecs, LeftPairs kLeft>
[[gnu::noinline]] void pair_tile(const PairCall& call) {
  __m512 sums[kRows][kVecs];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v)
      sums[m][v] =
          call.continues ? _mm512_loadu_ps(call.partial + m * call.ld_partial + 16 * v) : _mm512_setzero_ps();
  const std::int64_t whole = kLeft == LeftPairs::rows ? call.depth / 2 : (call.depth + 1) / 2;
  const std::uint32_t* b = call.b;
  const auto* a = static_cast<const char*>(call.a);
  const std::int64_t ldb = call.ldb;
  // Bytes from row to row and from pair to pair.
  const std::int64_t row_bytes = kLeft == LeftPairs::rows ? 2 * call.lda : 4;
  const std::int64_t pair_bytes = kLeft == LeftPairs::rows ? 4 : 4 * call.lda;
  AheadLines ahead(kLeft == LeftPairs::panel ? call.ahead : Ahead{});
  AheadLines later(kLeft == LeftPairs::panel ? call.later : Ahead{});
  for (std::int64_t k = 0; k < whole; ++k) {
    if (kLeft == LeftPairs::panel) {  // two: a tile has fewer pairs than lines when it has few rows
      ahead.fetch_one();
      ahead.fetch_one();
      later.fetch_one<kSecondLevel>();
    }
    __m512bh right[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) right[v] = right_pairs(b + 16 * v);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const __m512bh left = every_lane(load_word(a + m * row_bytes));
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sums[m][v] = _mm512_dpbf16_ps(sums[m][v], left, right[v]);
    }
    a += pair_bytes;
    b += ldb;
  }
  if (kLeft == LeftPairs::rows && call.depth % 2 != 0) {
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      std::uint16_t last;
      std::memcpy(&last, a + m * row_bytes, sizeof last);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v)
        sums[m][v] = _mm512_dpbf16_ps(sums[m][v], every_lane(last), right_pairs(b + 16 * v));
    }
  }
  if (kLeft == LeftPairs::panel && call.grid.to != nullptr && call.columns == 16 * kVecs) {
    const GridSums grid = call.grid;
    std::int64_t refused = 0;
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v)
        refused += add_16_to_grid(grid.to + m * grid.ld + 16 * v, sums[m][v], grid.limit);
    *grid.refused += refused;
    return;
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      if (call.ends) {
        call.out.store(sums[m][v], m, 16 * v, call.columns - 16 * v);
      } else {
        _mm512_storeu_ps(call.partial + m * call.ld_partial + 16 * v, sums[m][v]);
      }
    }
}

template <int kVecs, LeftPairs kLeft>
void pair_tile_of_rows(std::int64_t rows, const PairCall& call) {
  switch (rows) {
    case 1:
      return pair_tile<1, kVecs, kLeft>(call);
    case 2:
      return pair_tile<2, kVecs, kLeft>(call);
    case 3:
      return pair_tile<3, kVecs, kLeft>(call);
    case 4:
      return pair_tile<4, kVecs, kLeft>(call);
    case 5:
      return pair_tile<5, kVecs, kLeft>(call);
    case 6:
      return pair_tile<6, kVecs, kLeft>(call);
    case 7:
      return pair_tile<7, kVecs, kLeft>(call);
    case 8:
      return pair_tile<8, kVecs, kLeft>(call);
    default:
      return;
  }
}

/// `rows` in [1, kPairRows], call.columns in [1, 16 * kPairVecs].
template <LeftPairs kLeft>
void run_pair_tile(std::int64_t rows, const PairCall& call) {
  switch ((call.columns + 15) / 16) {
    case 1:
      return pair_tile_of_rows<1, kLeft>(rows, call);
    case 2:
      return pair_tile_of_rows<2, kLeft>(rows, call);
    case 3:
      return pair_tile_of_rows<3, kLeft>(rows, call);
    default:
      return;
  }
}

}  // namespace
}  // namespace switchyard::kernels
