// The register tile that every product is made of: a few rows times a few vectors of columns, all of whose
// sums stay in registers. Each output element is one chain of fused multiply-adds over the depth in index
// order, whatever the tile's size, so that packing and tiling never show in the bits.
#pragma once

#include "kernels/cpu/products/ahead.h"
#include "kernels/cpu/simd.h"

namespace switchyard::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 8;  // 24 sums, 3 vectors of B and a broadcast of A fit 32 registers
constexpr int kTileVecs = 3;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;  // 12 sums, 2 vectors of B and a broadcast of A fit 16 registers
constexpr int kTileVecs = 2;
#else
constexpr int kTileRows = 4;
constexpr int kTileVecs = 2;
#endif
constexpr std::int64_t kPanelWidth = kTileVecs * Vec::kWidth;

/// Where element (m, k) of the left operand lies: a[m * lda + k], or a[k * lda + m].
enum class Left { rows, columns };

/// What a tile starts from.
enum class Start { zero, output };

/// One tile of out (rows, columns) = [out +] a (rows, depth) * b (depth, columns) [+ bias].
struct TileCall {
  float* out;
  std::int64_t ldout;
  std::int64_t columns;  ///< in ((vecs - 1) * kWidth, vecs * kWidth]; b has vecs * kWidth of them
  Start start;
  const float* a;
  std::int64_t lda;
  const float* b;
  std::int64_t ldb;
  std::int64_t depth;
  const float* bias;  ///< of these columns, added last; or null
  Ahead ahead;
};

// Not inlined: among a caller's values the compiler would keep some of the sums in memory.
template <int kRows, int kVecs, Left kLeft>
[[gnu::noinline]] void tile(const TileCall& call) {
  const std::int64_t tail = call.columns - (kVecs - 1) * Vec::kWidth;
  Vec sums[kRows][kVecs];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const float* from = call.out + m * call.ldout + v * Vec::kWidth;
      sums[m][v] = call.start == Start::zero ? Vec::zero()
                   : v + 1 < kVecs           ? Vec::load(from)
                                             : Vec::load(from, tail);
    }
  const float* a = call.a;
  const float* b = call.b;
  const std::int64_t lda = call.lda;
  const std::int64_t ldb = call.ldb;
  AheadLines ahead(kLeft == Left::columns ? call.ahead : Ahead{});
  for (std::int64_t k = 0; k < call.depth; ++k) {
    if (kLeft == Left::columns) ahead.fetch_one();
    Vec right[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) right[v] = Vec::load(b + v * Vec::kWidth);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const Vec left = Vec::broadcast(kLeft == Left::rows ? a[m * lda] : a[m]);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sums[m][v] = fma(left, right[v], sums[m][v]);
    }
    a += kLeft == Left::rows ? 1 : lda;
    b += ldb;
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      float* to = call.out + m * call.ldout + v * Vec::kWidth;
      const bool whole = v + 1 < kVecs;
      if (call.bias != nullptr) {
        const float* bias = call.bias + v * Vec::kWidth;
        sums[m][v] = sums[m][v] + (whole ? Vec::load(bias) : Vec::load(bias, tail));
      }
      if (whole) {
        sums[m][v].store(to);
      } else {
        sums[m][v].store(to, tail);
      }
    }
}

template <int kVecs, Left kLeft>
void tile_of_rows(std::int64_t rows, const TileCall& call) {
  switch (rows) {
    case 1:
      return tile<1, kVecs, kLeft>(call);
    case 2:
      return tile<2, kVecs, kLeft>(call);
    case 3:
      return tile<3, kVecs, kLeft>(call);
    case 4:
      return tile<4, kVecs, kLeft>(call);
#if defined(__AVX2__)
    case 5:
      return tile<5, kVecs, kLeft>(call);
    case 6:
      return tile<6, kVecs, kLeft>(call);
#endif
#if defined(__AVX512F__)
    case 7:
      return tile<7, kVecs, kLeft>(call);
    case 8:
      return tile<8, kVecs, kLeft>(call);
#endif
    default:
      return;
  }
}

/// `rows` in [1, kTileRows], call.columns in [1, kPanelWidth].
template <Left kLeft>
void run_tile(std::int64_t rows, const TileCall& call) {
  switch ((call.columns + Vec::kWidth - 1) / Vec::kWidth) {
    case 1:
      return tile_of_rows<1, kLeft>(rows, call);
    case 2:
      return tile_of_rows<2, kLeft>(rows, call);
#if defined(__AVX512F__)
    case 3:
      return tile_of_rows<3, kLeft>(rows, call);
#endif
    default:
      return;
  }
}

/// Any number of rows, tile under tile; call holds the first row's addresses.
template <Left kLeft>
void run_tiles(std::int64_t rows, TileCall call) {
  for (std::int64_t m = 0; m < rows; m += kTileRows) {
    run_tile<kLeft>(rows - m < kTileRows ? rows - m : kTileRows, call);
    call.out += kTileRows * call.ldout;
    call.a += kLeft == Left::rows ? kTileRows * call.lda : kTileRows;
  }
}

}  // namespace
}  // namespace switchyard::kernels
