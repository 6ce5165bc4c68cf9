// Weight gradients of bf16 products: both operands are transposed while they are packed, a block of rows is
// summed by the unit, and goes onto the grid of exact sums (gradient_sum.h). Work is cut by output, as in
// ../gradients.cpp.
#include "kernels/cpu/grid.h"
#include "kernels/cpu/products/bf16/products.h"
#include "kernels/cpu/products/bf16/unit.h"
#include "kernels/cpu/products/panel.h"
#include "kernels/cpu/products/segments.h"

namespace switchyard::kernels {

namespace {

struct WeightGradient {
  std::int64_t* sums;  ///< of expert 0, (O, I)
  std::int64_t limit;
  const std::uint16_t* dy;  ///< (rows, O)
  const std::uint16_t* x;   ///< (rows, I)
  std::int64_t O;
  std::int64_t I;
};

// What one piece owns: rows [o, o + out_rows) and columns [i, i + panels.columns) of one expert's gradient.
struct Piece {
  std::int64_t expert;
  std::int64_t o;
  std::int64_t out_rows;
  std::int64_t i;
  Panels panels;
};

constexpr std::int64_t kColumnsOfPiece = 384;
constexpr std::int64_t kMostRowsOfPiece = 128;

template <typename Unit>
struct Scratch {
  static constexpr std::int64_t kLeftBytes = 4 * Unit::left_words(kMostRowsOfPiece, kGradientBlockRows);
  static constexpr std::int64_t kPanelBytes = 2 * kGradientBlockRows * Unit::kPanelWidth;
  static constexpr std::int64_t kBytes = kLeftBytes + kPanelBytes + Unit::scratch_bytes(kGradientBlockRows);

  explicit Scratch(unsigned char* memory)
      : left(reinterpret_cast<std::uint32_t*>(memory)),
        panel(reinterpret_cast<std::uint32_t*>(memory + kLeftBytes)),
        unit(memory + kLeftBytes + kPanelBytes) {}

  std::uint32_t* left;
  std::uint32_t* panel;
  Unit unit;
};

// Adds the gradient of one block of rows; returns how many values were refused.
template <typename Unit>
std::int64_t add_block(const WeightGradient& g, const Piece& piece, std::int64_t row, std::int64_t depth,
                       Scratch<Unit>& scratch) {
  Unit::pack_left(scratch.left, g.dy + row * g.O + piece.o, g.O, depth, piece.out_rows);
  std::int64_t* first_sums = g.sums + (piece.expert * g.O + piece.o) * g.I + piece.i;
  std::int64_t refused = 0;
  for (std::int64_t panel = 0; panel < piece.panels.count; ++panel) {
    const std::int64_t column = piece.i + piece.panels.begin(panel);
    const std::int64_t width = piece.panels.width(panel);
    const std::int64_t stride = piece.panels.stride(panel);
    pack_pairs_of_rows(scratch.panel, stride, g.x + row * g.I + column, g.I, depth, width);
    PanelCall call{};
    call.b = scratch.panel;
    call.stride = stride;
    call.depth = depth;
    call.columns = width;
    call.ld_partial = Unit::kPanelWidth;
    for (std::int64_t m = 0; m < piece.out_rows; m += Unit::kStripRows) {
      const std::int64_t count = at_most(piece.out_rows - m, Unit::kStripRows);
      alignas(64) float values[Unit::kStripRows * Unit::kPanelWidth];
      std::int64_t* sums = first_sums + m * g.I + piece.panels.begin(panel);
      // The next strip's sums come from memory while this one is computed: with few rows that is what takes
      // the time.
      Ahead ahead{sums + Unit::kStripRows * g.I, g.I * 8, (width + 7) / 8};
      if (m + Unit::kStripRows >= piece.out_rows)
        ahead = panel + 1 < piece.panels.count
                    ? Ahead{first_sums + piece.panels.begin(panel + 1), g.I * 8, (width + 7) / 8}
                    : Ahead{};
      call.partial = values;
      scratch.unit.left_strip({scratch.left, piece.out_rows, m, count, 0, ahead}, call);
      for (std::int64_t r = 0; r < count; ++r)
        refused += add_to_grid(sums + r * g.I, values + r * Unit::kPanelWidth, width, g.limit);
    }
  }
  return refused;
}

// As many rows as leave every thread a few pieces.
std::int64_t rows_of_piece(std::int64_t O, std::int64_t pieces_per_row_strip, int threads) {
  std::int64_t rows = kMostRowsOfPiece;
  while (rows > 32 && (O + rows - 1) / rows * pieces_per_row_strip < 6 * threads) rows /= 2;
  return rows;
}

template <typename Unit>
void weight_gradient(Context& context, const WeightGradient& g, std::int64_t experts,
                     const Segments& segments, std::int64_t* overflow) {
  if (g.O == 0 || g.I == 0) return;
  Threads& threads = context.threads();
  const std::int64_t column_pieces = (g.I + kColumnsOfPiece - 1) / kColumnsOfPiece;
  const std::int64_t strip = rows_of_piece(g.O, experts * column_pieces, threads.count());
  const std::int64_t row_pieces = (g.O + strip - 1) / strip;
  ArenaScope scratch(context.scratch());
  auto* memory =
      static_cast<unsigned char*>(scratch.tensor(DType::u8, {threads.count(), Scratch<Unit>::kBytes}).raw());
  threads.run_on_workers(
      experts * row_pieces * column_pieces, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
        Scratch<Unit> own(memory + worker * Scratch<Unit>::kBytes);
        std::int64_t refused = 0;
        for (std::int64_t index = begin; index < end; ++index) {
          const std::int64_t o = index / column_pieces % row_pieces * strip;
          const std::int64_t i = index % column_pieces * kColumnsOfPiece;
          const Piece piece{index / column_pieces / row_pieces, o, at_most(g.O - o, strip), i,
                            Panels(at_most(g.I - i, kColumnsOfPiece), Unit::kPanelVecs)};
          for (std::int64_t s = 0; s < segments.count(); ++s) {
            const Segment segment = segments[s];
            if (segment.expert != piece.expert) continue;
            for (std::int64_t row = 0; row < segment.rows; row += kGradientBlockRows)
              refused += add_block(g, piece, segment.first + row,
                                   at_most(segment.rows - row, kGradientBlockRows), own);
          }
        }
        if (refused > 0) __atomic_fetch_add(overflow, refused, __ATOMIC_RELAXED);
      });
}

}  // namespace

template <>
void PairProducts<kUnitBackend>::backward_weight(Context& context, const GradientSum& dweight,
                                                 ConstTensorView dy, ConstTensorView x,
                                                 ConstTensorView segments) {
  const WeightGradient g{
      dweight.sums.data<std::int64_t>(),          dweight.limit, static_cast<const std::uint16_t*>(dy.raw()),
      static_cast<const std::uint16_t*>(x.raw()), dy.dim(1),     x.dim(1)};
  const bool grouped = segments.present();
  with_unit([&]<typename Unit>() {
    weight_gradient<Unit>(context, g, grouped ? dweight.sums.dim(0) : 1,
                          grouped ? Segments(segments) : Segments(x.dim(0)),
                          dweight.overflow.data<std::int64_t>());
  });
}

}  // namespace switchyard::kernels
