// The unit of vdpbf16ps.
#pragma once

#include "kernels/cpu/products/bf16/pair_tile.h"
#include "kernels/cpu/products/bf16/panel_call.h"

namespace switchyard::kernels {
namespace {

class DotUnit {
 public:
  static constexpr int kPanelVecs = kPairVecs;
  static constexpr std::int64_t kPanelWidth = 16 * kPanelVecs;
  /// Depths that are multiples of it cost least.
  static constexpr std::int64_t kDepthUnit = 2;
  static constexpr std::int64_t kStripRows = kPairRows;
  static constexpr std::int64_t scratch_bytes(std::int64_t /*depth*/) { return 64; }

  explicit DotUnit(void* /*scratch*/) {}

  void rows(std::int64_t rows, const PanelCall& call) {
    for (std::int64_t m = 0; m < rows; m += kPairRows) {
      const PairCall tile{call.a + m * call.lda,
                          call.lda,
                          call.b,
                          call.stride,
                          call.depth,
                          call.columns,
                          call.partial + m * call.ld_partial,
                          call.ld_partial,
                          call.continues,
                          call.ends,
                          call.out.from(m, 0),
                          {},
                          {},
                          {}};
      run_pair_tile<LeftPairs::rows>(at_most(rows - m, kPairRows), tile);
    }
  }

  /// Words of a packed left operand of `rows` rows, and the operand itself: the transpose of source (depth,
  /// rows). Strips of kStripRows words lie from one end of the depth to the other.
  static constexpr std::int64_t left_words(std::int64_t rows, std::int64_t depth) {
    return (rows + 31) / 32 * 32 * padded_depth(depth) / 2;
  }
  static void pack_left(std::uint32_t* packed, const std::uint16_t* source, std::int64_t ld,
                        std::int64_t depth, std::int64_t rows) {
    const PairsOfRows pairs{source, ld, depth, rows};
    const std::int64_t strip = kStripRows * padded_depth(depth) / 2;
    for (std::int64_t row = 0; row < rows; row += 32) {
      std::uint32_t* to = packed + row / kStripRows * strip;
      for (std::int64_t pair = 0; pair < padded_depth(depth) / 2; ++pair, to += kStripRows) {
        const PairWords words = pairs.words(pair, row);
        store_strip(to, _mm512_castsi512_si256(words.first));
        store_strip(to + strip, _mm512_extracti64x4_epi64(words.first, 1));
        store_strip(to + 2 * strip, _mm512_castsi512_si256(words.last));
        store_strip(to + 3 * strip, _mm512_extracti64x4_epi64(words.last, 1));
      }
    }
  }
  /// call.partial (count, stride) = [partial +] the rows of `left` times b; count <= kStripRows and
  /// left.first begins a strip.
  void left_strip(const PackedLeft& left, const PanelCall& call) {
    run_pair_tile<LeftPairs::panel>(left.count, tile_of(left, call));
  }
  /// sums += the rows of `left` times b.
  void left_strip_to_grid(const PackedLeft& left, const PanelCall& call, const GridSums& sums) {
    alignas(64) float values[kStripRows * kPanelWidth];
    PairCall tile = tile_of(left, call);
    tile.partial = values;
    tile.ld_partial = kPanelWidth;
    tile.grid = sums;
    run_pair_tile<LeftPairs::panel>(left.count, tile);
    if (call.columns % 16 != 0) sums.add(values, kPanelWidth, left.count, call.columns);
  }

  /// `rounds` times as many independent products as hide their latency; for measuring the peak.
  static float rounds_in_registers(std::int64_t rounds) {
    constexpr int kChains = 16;
    __m512 chains[kChains];
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c)
      chains[c] = _mm512_set1_ps(static_cast<float>(c));  // equal ones would be one
    const __m512bh left = every_lane(0x3f003f00U);        // 0.5, 0.5
    const __m512bh right = every_lane(0xbf003f00U);       // 0.5, -0.5: sums stay as they are
    for (std::int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
      for (auto& chain : chains) chain = _mm512_dpbf16_ps(chain, left, right);
    }
    __m512 total = _mm512_setzero_ps();
#pragma GCC unroll 16
    for (auto& chain : chains) total = _mm512_add_ps(total, chain);
    return _mm512_reduce_add_ps(total);
  }
  static constexpr double kFlopsOfRound = 16 * 64;

 private:
  static void store_strip(std::uint32_t* to, __m256i words) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words);
  }
  static PairCall tile_of(const PackedLeft& left, const PanelCall& call) {
    const std::int64_t skip = left.skip / 2;
    return {left.data + left.first * padded_depth(call.depth) / 2 + skip * kStripRows,
            kStripRows,
            call.b + skip * call.stride,
            call.stride,
            call.depth - 2 * skip,
            call.columns,
            call.partial,
            call.ld_partial,
            call.continues,
            false,
            {},
            left.ahead,
            left.later,
            {}};
  }
};

}  // namespace
}  // namespace switchyard::kernels
