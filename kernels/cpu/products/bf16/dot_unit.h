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
                          {}};
      run_pair_tile<LeftPairs::rows>(at_most(rows - m, kPairRows), tile);
    }
  }

  /// Words of a packed left operand of `rows` rows, and the operand itself: the transpose of source (depth,
  /// rows).
  static constexpr std::int64_t left_words(std::int64_t rows, std::int64_t depth) {
    return (rows + 15) / 16 * 16 * padded_depth(depth) / 2;
  }
  static void pack_left(std::uint32_t* packed, const std::uint16_t* source, std::int64_t ld,
                        std::int64_t depth, std::int64_t rows) {
    pack_pairs_of_rows(packed, (rows + 15) / 16 * 16, source, ld, depth, rows);
  }
  /// call.partial (count, stride) = [partial +] the rows of `left` times b; count <= kStripRows.
  void left_strip(const PackedLeft& left, const PanelCall& call) {
    const std::int64_t lda = (left.rows + 15) / 16 * 16;
    const std::int64_t skip = left.skip / 2;
    const PairCall tile{left.data + skip * lda + left.first,
                        lda,
                        call.b + skip * call.stride,
                        call.stride,
                        call.depth - 2 * skip,
                        call.columns,
                        call.partial,
                        call.ld_partial,
                        call.continues,
                        false,
                        {},
                        left.ahead};
    run_pair_tile<LeftPairs::panel>(left.count, tile);
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
};

}  // namespace
}  // namespace switchyard::kernels
