// The unit of AMX: two by two tiles of sums, 32 rows times 32 columns at once.
#pragma once

#include "kernels/cpu/products/bf16/amx_tiles.h"
#include "kernels/cpu/products/bf16/panel_call.h"

namespace switchyard::kernels {
namespace {

template <typename Tiles>
class TileUnit {
 public:
  static constexpr int kPanelVecs = 2;
  static constexpr std::int64_t kPanelWidth = 2 * kTileSide;
  /// Depths that are multiples of it cost least.
  static constexpr std::int64_t kDepthUnit = kDepthStep;
  static constexpr std::int64_t kStripRows = 2 * kTileSide;
  /// A copy of a strip whose rows or depth do not fill tiles.
  static constexpr std::int64_t scratch_bytes(std::int64_t depth) {
    return kStripRows * padded_depth(depth) * 2;
  }

  explicit TileUnit(void* scratch) : edge_(static_cast<std::uint16_t*>(scratch)) {}

  void rows(std::int64_t rows, const PanelCall& call) {
    for (std::int64_t m = 0; m < rows; m += kStripRows) {
      const std::int64_t count = at_most(rows - m, kStripRows);
      const std::uint16_t* a = call.a + m * call.lda;
      std::int64_t lda = call.lda;
      if (call.depth % kDepthStep != 0 || count % kTileSide != 0) {
        copy_to_edge(a, lda, count, call.depth);
        a = edge_;
        lda = padded_depth(call.depth);
      }
      const Left left{reinterpret_cast<const char*>(a), 2 * lda, 2 * kDepthStep, 2 * kTileSide * lda};
      alignas(64) float values[kStripRows * kPanelWidth];
      float* partial = call.partial + m * call.ld_partial;
      strip(count > kTileSide, left, call, {call.continues ? partial : nullptr, call.ld_partial},
            call.ends ? Sums{values, kPanelWidth} : Sums{partial, call.ld_partial});
      if (!call.ends) continue;
      for (std::int64_t r = 0; r < count; ++r)
        for (std::int64_t c = 0; c < call.columns; c += 16)
          call.out.store(_mm512_load_ps(values + r * kPanelWidth + c), m + r, c, call.columns - c);
    }
  }

  /// Packed left operands are whole tiles, those of a depth side by side.
  static constexpr std::int64_t left_words(std::int64_t rows, std::int64_t depth) {
    return (rows + kStripRows - 1) / kStripRows * kStripRows * padded_depth(depth) / 2;
  }
  static void pack_left(std::uint32_t* packed, const std::uint16_t* source, std::int64_t ld,
                        std::int64_t depth, std::int64_t rows) {
    for (std::int64_t m = 0; m < rows; m += kTileSide) {
      const auto present = static_cast<__mmask16>(first_elements(at_most(rows - m, kTileSide)));
      for (std::int64_t k = 0; k < depth; k += kDepthStep) {
        __m512i words[16];  // pair j of 16 rows
#pragma GCC unroll 16
        for (std::int64_t j = 0; j < 16; ++j) {
          const std::uint16_t* from = source + (k + 2 * j) * ld + m;
          const __m256i early = _mm256_maskz_loadu_epi16(k + 2 * j < depth ? present : 0, from);
          const __m256i late = _mm256_maskz_loadu_epi16(k + 2 * j + 1 < depth ? present : 0, from + ld);
          words[j] = _mm512_or_si512(_mm512_cvtepu16_epi32(early),
                                     _mm512_slli_epi32(_mm512_cvtepu16_epi32(late), 16));
        }
        transpose_16(words);
#pragma GCC unroll 16
        for (int j = 0; j < 16; ++j) {
          _mm512_storeu_si512(packed, words[j]);
          packed += 16;
        }
      }
    }
  }
  void left_strip(const PackedLeft& left, const PanelCall& call) {
    const std::int64_t tiles = padded_depth(call.depth) / kDepthStep;
    const std::int64_t skip = left.skip / kDepthStep;
    const Left at{
        reinterpret_cast<const char*>(left.data) + (left.first / kTileSide * tiles + skip) * kTileBytes, 64,
        kTileBytes, tiles * kTileBytes};
    AheadLines ahead(left.ahead);
    for (std::int64_t line = 0; line < left.ahead.rows * left.ahead.lines; ++line) ahead.fetch_one();
    AheadLines later(left.later);
    for (std::int64_t line = 0; line < left.later.rows * left.later.lines; ++line)
      later.fetch_one<kSecondLevel>();
    PanelCall rest = call;
    rest.b += skip * kTileSide * call.stride;
    rest.depth -= skip * kDepthStep;
    strip(left.count > kTileSide, at, rest, {call.continues ? call.partial : nullptr, call.ld_partial},
          {call.partial, call.ld_partial});
  }

  void left_strip_to_grid(const PackedLeft& left, const PanelCall& call, const GridSums& sums) {
    alignas(64) float values[kStripRows * kPanelWidth];
    PanelCall to_values = call;
    to_values.partial = values;
    to_values.ld_partial = kPanelWidth;
    left_strip(left, to_values);
    sums.add(values, kPanelWidth, left.count, call.columns);
  }

  /// `rounds` times all four tiles of sums; for measuring the peak.
  static float rounds_in_registers(std::int64_t rounds) {
    alignas(64) std::uint32_t left[kTileSide * kTileSide];
    alignas(64) std::uint32_t right[kTileSide * kTileSide];
    for (std::int64_t i = 0; i < kTileSide * kTileSide; ++i) {
      left[i] = 0x3f003f00U;   // 0.5, 0.5
      right[i] = 0xbf003f00U;  // 0.5, -0.5: sums stay as they are
    }
    Tiles tiles;
    tiles.template zero<0>();
    tiles.template zero<1>();
    tiles.template zero<2>();
    tiles.template zero<3>();
    tiles.template load<4>(left, 64);
    tiles.template load<5>(left, 64);
    tiles.template load<6>(right, 64);
    tiles.template load<7>(right, 64);
    for (std::int64_t r = 0; r < rounds; ++r) {
      tiles.template multiply<0, 4, 6>();
      tiles.template multiply<1, 4, 7>();
      tiles.template multiply<2, 5, 6>();
      tiles.template multiply<3, 5, 7>();
    }
    alignas(64) float sums[kTileSide * kTileSide];
    tiles.template store<0>(sums, 64);
    return sums[0];
  }
  static constexpr double kFlopsOfRound = 4 * 2 * kTileSide * kTileSide * kDepthStep;

 private:
  // Where tiles of the left operand lie: bytes between rows of a tile, tiles of the depth, tiles of rows.
  struct Left {
    const char* data;
    std::int64_t row, depth, rows;
  };

  // fp32 sums of a strip in memory, or nothing.
  struct Sums {
    float* data;
    std::int64_t ld;
  };

  void copy_to_edge(const std::uint16_t* a, std::int64_t lda, std::int64_t count, std::int64_t depth) {
    const std::int64_t width = padded_depth(depth);
    for (std::int64_t r = 0; r < kStripRows; ++r)
      for (std::int64_t k = 0; k < width; k += 32) {
        const __mmask32 present = r < count ? first_elements(depth - k) : 0;
        _mm512_storeu_si512(edge_ + r * width + k, _mm512_maskz_loadu_epi16(present, a + r * lda + k));
      }
  }

  // to = [from +] left * b. Narrow panels and few rows leave tiles out.
  void strip(bool two_rows, const Left& left, const PanelCall& call, Sums from, Sums to) {
    const bool two_columns = call.stride > kTileSide;
    if (two_rows) {
      two_columns ? block<true, true>(left, call, from, to) : block<true, false>(left, call, from, to);
    } else {
      two_columns ? block<false, true>(left, call, from, to) : block<false, false>(left, call, from, to);
    }
  }

  template <bool kTwoRows, bool kTwoColumns>
  void block(const Left& left, const PanelCall& call, Sums from, Sums to) {
    start<0>(from, 0, 0);
    if constexpr (kTwoColumns) start<1>(from, 0, kTileSide);
    if constexpr (kTwoRows) start<2>(from, kTileSide, 0);
    if constexpr (kTwoRows && kTwoColumns) start<3>(from, kTileSide, kTileSide);
    const std::int64_t panel_row = 4 * call.stride;
    const std::int64_t steps = padded_depth(call.depth) / kDepthStep;
    const char* a = left.data;
    const auto* b = reinterpret_cast<const char*>(call.b);
    for (std::int64_t step = 0; step < steps; ++step) {
      // The strip below and the panel's next tiles come while this one is multiplied.
      for (std::int64_t r = 0; r < kTileSide; ++r) __builtin_prefetch(a + 2 * left.rows + r * left.row, 0, 2);
      for (std::int64_t r = 0; r < kTileSide; ++r) __builtin_prefetch(b + (kTileSide + r) * panel_row, 0, 3);
      tiles_.template load<6>(b, panel_row);
      tiles_.template load<4>(a, left.row);
      tiles_.template multiply<0, 4, 6>();
      if constexpr (kTwoColumns) {
        tiles_.template load<7>(b + 64, panel_row);
        tiles_.template multiply<1, 4, 7>();
      }
      if constexpr (kTwoRows) {
        tiles_.template load<5>(a + left.rows, left.row);
        tiles_.template multiply<2, 5, 6>();
        if constexpr (kTwoColumns) tiles_.template multiply<3, 5, 7>();
      }
      a += left.depth;
      b += kTileSide * panel_row;
    }
    end<0>(to, 0, 0);
    if constexpr (kTwoColumns) end<1>(to, 0, kTileSide);
    if constexpr (kTwoRows) end<2>(to, kTileSide, 0);
    if constexpr (kTwoRows && kTwoColumns) end<3>(to, kTileSide, kTileSide);
  }

  template <int kTile>
  void start(Sums from, std::int64_t row, std::int64_t column) {
    if (from.data == nullptr) {
      tiles_.template zero<kTile>();
    } else {
      tiles_.template load<kTile>(from.data + row * from.ld + column, 4 * from.ld);
    }
  }
  template <int kTile>
  void end(Sums to, std::int64_t row, std::int64_t column) {
    tiles_.template store<kTile>(to.data + row * to.ld + column, 4 * to.ld);
  }

  Tiles tiles_;
  std::uint16_t* edge_;
};

}  // namespace
}  // namespace switchyard::kernels
