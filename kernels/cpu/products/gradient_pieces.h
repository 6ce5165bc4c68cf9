// How weight gradients are cut, in fp32 and bf16 alike: a piece owns some rows and columns of one expert's
// gradient and walks over all segments of that expert, block of rows by block of rows. So no two threads add
// to the same element, and the sums stay in the thread's cache from block to block.
#pragma once

#include "kernels/cpu/products/panel.h"
#include "kernels/cpu/products/segments.h"
#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/threads.h"

namespace switchyard::kernels {
namespace {

/// Element: float, or the bits of bf16.
template <typename Element>
struct WeightGradient {
  std::int64_t* sums;  ///< of expert 0, (O, I)
  std::int64_t limit;
  const Element* dy;  ///< (rows, O)
  const Element* x;   ///< (rows, I)
  std::int64_t O;
  std::int64_t I;
};

/// Rows [o, o + out_rows) and columns [i, i + panels.columns) of one expert's gradient.
struct Piece {
  std::int64_t expert;
  std::int64_t o;
  std::int64_t out_rows;
  std::int64_t i;
  Panels panels;
};

/// How large pieces are: `most_rows`, halved down to `least_rows` until every thread has a few.
struct PieceSizes {
  std::int64_t columns;
  std::int64_t most_rows;
  std::int64_t least_rows;
  std::int64_t panel_vecs;

  std::int64_t rows(std::int64_t O, std::int64_t pieces_per_row_strip, int threads) const {
    std::int64_t rows = most_rows;
    while (rows > least_rows && (O + rows - 1) / rows * pieces_per_row_strip < 3 * threads) rows /= 2;
    return rows;
  }
};

/// Rows [row, row + depth), at most kGradientBlockRows, that are summed in fp32; behind them the piece's next
/// block, of next_depth rows (0: the segment ends).
struct RowBlock {
  std::int64_t row;
  std::int64_t depth;
  std::int64_t next_depth;
};

/// Calls add_block(piece, block) for every block of every piece, and adds what it returns, how many
/// values were refused, to `overflow`. Each run of pieces that a thread takes has an add_block of its own,
/// from block_adder(worker).
template <typename Element, typename BlockAdder>
void for_gradient_blocks(Threads& threads, const WeightGradient<Element>& g, std::int64_t experts,
                         const Segments& segments, const PieceSizes& sizes, std::int64_t* overflow,
                         BlockAdder block_adder) {
  const std::int64_t column_pieces = (g.I + sizes.columns - 1) / sizes.columns;
  const std::int64_t strip = sizes.rows(g.O, experts * column_pieces, threads.count());
  const std::int64_t row_pieces = (g.O + strip - 1) / strip;
  threads.run_on_workers(
      experts * row_pieces * column_pieces, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
        auto add_block = block_adder(worker);
        std::int64_t refused = 0;
        for (std::int64_t index = begin; index < end; ++index) {
          const std::int64_t o = index / column_pieces % row_pieces * strip;
          const std::int64_t i = index % column_pieces * sizes.columns;
          const Piece piece{index / column_pieces / row_pieces, o, at_most(g.O - o, strip), i,
                            Panels(at_most(g.I - i, sizes.columns), sizes.panel_vecs)};
          for (std::int64_t s = 0; s < segments.count(); ++s) {
            const Segment segment = segments[s];
            if (segment.expert != piece.expert) continue;
            for (std::int64_t row = 0; row < segment.rows; row += kGradientBlockRows) {
              const std::int64_t depth = at_most(segment.rows - row, kGradientBlockRows);
              refused += add_block(piece, {segment.first + row, depth,
                                           at_most(segment.rows - row - depth, kGradientBlockRows)});
            }
          }
        }
        if (refused > 0) __atomic_fetch_add(overflow, refused, __ATOMIC_RELAXED);
      });
}

}  // namespace
}  // namespace switchyard::kernels
