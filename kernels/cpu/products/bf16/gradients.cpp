// Weight gradients of bf16 products: both operands are transposed while they are packed, a block of rows is
// summed by the unit, and goes onto the grid of exact sums (gradient_sum.h). Work is cut as in
// ../gradient_pieces.h.
#include "kernels/cpu/grid.h"
#include "kernels/cpu/products/bf16/products.h"
#include "kernels/cpu/products/bf16/unit.h"
#include "kernels/cpu/products/gradient_pieces.h"

namespace switchyard::kernels {

namespace {

using PairGradient = WeightGradient<std::uint16_t>;

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

// The rows of both operands that the piece's next block reads, a few for each tile of this one.
class NextRows {
 public:
  NextRows(const PairGradient& g, const Piece& piece, const RowBlock& block, std::int64_t tiles)
      : next_(block.row + block.depth),
        rows_(block.next_depth),
        rows_of_tile_((2 * rows_ + tiles - 1) / tiles),
        x_{g.x + piece.i, 2 * g.I, (2 * piece.panels.columns + 63) / 64},
        dy_{g.dy + piece.o, 2 * g.O, (2 * piece.out_rows + 63) / 64} {}

  Ahead of_next_tile() {
    Ahead ahead = row_ < rows_ ? x_ : dy_;
    const std::int64_t row = row_ < rows_ ? row_ : row_ - rows_;
    ahead.first = static_cast<const char*>(ahead.first) + (next_ + row) * ahead.row_bytes;
    ahead.rows = at_most(rows_ - row, rows_of_tile_);
    row_ += ahead.rows;
    return ahead;
  }

 private:
  std::int64_t next_, rows_, rows_of_tile_;
  std::int64_t row_ = 0;  // of x, then of dy
  Ahead x_, dy_;
};

// Adds the gradient of one block of rows; returns how many values were refused.
template <typename Unit>
std::int64_t add_block(const PairGradient& g, const Piece& piece, const RowBlock& block,
                       Scratch<Unit>& scratch) {
  const Panels& panels = piece.panels;
  const std::int64_t strips = (piece.out_rows + Unit::kStripRows - 1) / Unit::kStripRows;
  NextRows next_rows(g, piece, block, strips * panels.count);
  Unit::pack_left(scratch.left, g.dy + block.row * g.O + piece.o, g.O, block.depth, piece.out_rows);
  std::int64_t refused = 0;
  for (std::int64_t panel = 0; panel < panels.count; ++panel) {
    const std::int64_t column = piece.i + panels.begin(panel);
    std::int64_t* first_sums = g.sums + (piece.expert * g.O + piece.o) * g.I + column;
    PanelCall call{};
    call.b = scratch.panel;
    call.stride = panels.stride(panel);
    call.depth = block.depth;
    call.columns = panels.width(panel);
    pack_pairs_of_rows(scratch.panel, call.stride, g.x + block.row * g.I + column, g.I, block.depth,
                       call.columns);
    for (std::int64_t m = 0; m < piece.out_rows; m += Unit::kStripRows) {
      const std::int64_t count = at_most(piece.out_rows - m, Unit::kStripRows);
      std::int64_t* sums = first_sums + m * g.I;
      // The next strip's sums come from memory while this one is computed: with few rows that is what takes
      // the time.
      const std::int64_t rows_below = piece.out_rows - m - count;
      const std::int64_t lines = (call.columns + 7) / 8;
      Ahead next_sums{sums + count * g.I, g.I * 8, lines, at_most(rows_below, Unit::kStripRows)};
      if (rows_below == 0 && panel + 1 < panels.count)
        next_sums = {first_sums + call.stride, g.I * 8, lines, at_most(piece.out_rows, Unit::kStripRows)};
      scratch.unit.left_strip_to_grid(
          {scratch.left, piece.out_rows, m, count, 0, next_sums, next_rows.of_next_tile()}, call,
          {sums, g.I, g.limit, &refused});
    }
  }
  return refused;
}

template <typename Unit>
void weight_gradient(Context& context, const PairGradient& g, std::int64_t experts, const Segments& segments,
                     std::int64_t* overflow) {
  if (g.O == 0 || g.I == 0) return;
  Threads& threads = context.threads();
  constexpr PieceSizes kPieces{384, kMostRowsOfPiece, 32, Unit::kPanelVecs};
  ArenaScope scratch(context.scratch());
  auto* memory =
      static_cast<unsigned char*>(scratch.tensor(DType::u8, {threads.count(), Scratch<Unit>::kBytes}).raw());
  for_gradient_blocks(threads, g, experts, segments, kPieces, overflow, [&](int worker) {
    return [&g, own = Scratch<Unit>(memory + worker * Scratch<Unit>::kBytes)](
               const Piece& piece, const RowBlock& block) mutable { return add_block(g, piece, block, own); };
  });
}

}  // namespace

template <>
void PairProducts<kUnitBackend>::backward_weight(Context& context, const GradientSum& dweight,
                                                 ConstTensorView dy, ConstTensorView x,
                                                 ConstTensorView segments) {
  const PairGradient g{
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
