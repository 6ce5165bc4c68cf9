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

// Adds the gradient of one block of rows; returns how many values were refused.
template <typename Unit>
std::int64_t add_block(const PairGradient& g, const Piece& piece, std::int64_t row, std::int64_t depth,
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
               const Piece& piece, std::int64_t row, std::int64_t depth) mutable {
      return add_block(g, piece, row, depth, own);
    };
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
