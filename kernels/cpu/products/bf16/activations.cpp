// Outputs and input gradients of bf16 products. Work is cut as in ../activations.cpp; a piece packs its own
// panel of the weight.
#include "kernels/cpu/products/bf16/products.h"
#include "kernels/cpu/products/bf16/unit.h"
#include "kernels/cpu/products/panel.h"
#include "kernels/cpu/products/segments.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowsOfBlock = 512;
constexpr std::int64_t kDepthOfBlock = 2048;  // a panel of it stays in the second-level cache

struct RowProduct {
  Output out;               ///< (rows, columns)
  const std::uint16_t* in;  ///< (rows, depth)
  const std::uint16_t* weight;
  std::int64_t columns;
  std::int64_t depth;
  bool transposed;  ///< weight is (columns, depth), else (depth, columns)
};

const std::uint16_t* bits(ConstTensorView tensor) {
  return static_cast<const std::uint16_t*>(tensor.raw());
}

// One thread's scratch.
template <typename Unit>
struct Scratch {
  static constexpr std::int64_t kPackedBytes = kDepthOfBlock * Unit::kPanelWidth * 2;
  static constexpr std::int64_t kPartialBytes = kRowsOfBlock * Unit::kPanelWidth * 4;
  static constexpr std::int64_t kBytes = kPackedBytes + kPartialBytes + Unit::scratch_bytes(kDepthOfBlock);

  explicit Scratch(unsigned char* memory)
      : packed(reinterpret_cast<std::uint32_t*>(memory)),
        partial(reinterpret_cast<float*>(memory + kPackedBytes)),
        unit(memory + kPackedBytes + kPartialBytes) {}

  std::uint32_t* packed;
  float* partial;
  Unit unit;
};

// Columns of one panel, for the rows [first, first + rows).
template <typename Unit>
void product_piece(const RowProduct& p, Scratch<Unit>& scratch, const std::uint16_t* weight,
                   std::int64_t first, std::int64_t rows, const Panels& panels, std::int64_t panel) {
  const std::int64_t column = panels.begin(panel);
  const std::int64_t width = panels.width(panel);
  const std::int64_t stride = panels.stride(panel);
  // Cut where units and pairs end; a depth of 0 is one empty block.
  for (std::int64_t k = 0; k == 0 || k < p.depth; k += kDepthOfBlock) {
    const std::int64_t depth = at_most(p.depth - k, kDepthOfBlock);
    if (p.transposed) {
      pack_pairs_transposed(scratch.packed, stride, weight + column * p.depth + k, p.depth, depth, width);
    } else {
      pack_pairs_of_rows(scratch.packed, stride, weight + k * p.columns + column, p.columns, depth, width);
    }
    scratch.unit.rows(
        rows, {p.in + first * p.depth + k, p.depth, scratch.packed, stride, depth, width, scratch.partial,
               Unit::kPanelWidth, k > 0, k + depth == p.depth, p.out.from(first, column)});
  }
}

template <typename Unit>
void row_product(Context& context, const RowProduct& p, const Segments& segments) {
  const Panels panels(p.columns, Unit::kPanelVecs);
  if (panels.count == 0) return;
  Threads& threads = context.threads();
  ArenaScope scratch(context.scratch());
  // before[s]: pieces of the segments before s.
  auto* before = scratch.tensor(DType::i64, {segments.count() + 1}).template data<std::int64_t>();
  before[0] = 0;
  for (std::int64_t s = 0; s < segments.count(); ++s) {
    const std::int64_t blocks = (segments[s].rows + kRowsOfBlock - 1) / kRowsOfBlock;
    before[s + 1] = before[s] + blocks * panels.count;
  }
  auto* memory =
      static_cast<unsigned char*>(scratch.tensor(DType::u8, {threads.count(), Scratch<Unit>::kBytes}).raw());
  threads.run_on_workers(before[segments.count()], 1, [&](int worker, std::int64_t begin, std::int64_t end) {
    Scratch<Unit> own(memory + worker * Scratch<Unit>::kBytes);
    std::int64_t s = 0;
    for (std::int64_t piece = begin; piece < end; ++piece) {
      while (before[s + 1] <= piece) ++s;
      const Segment segment = segments[s];
      const std::int64_t blocks = (segment.rows + kRowsOfBlock - 1) / kRowsOfBlock;
      const std::int64_t block = (piece - before[s]) / panels.count;
      // Blocks end where strips do, so that only a segment's last strip is short.
      const auto row_of = [&](std::int64_t index) {
        const std::int64_t row =
            (index * segment.rows / blocks + Unit::kStripRows - 1) / Unit::kStripRows * Unit::kStripRows;
        return at_most(row, segment.rows);
      };
      const std::int64_t row = row_of(block);
      product_piece(p, own, p.weight + segment.expert * p.columns * p.depth, segment.first + row,
                    row_of(block + 1) - row, panels, (piece - before[s]) % panels.count);
    }
  });
}

Segments segments_of(ConstTensorView segments, std::int64_t rows) {
  return segments.present() ? Segments(segments) : Segments(rows);
}

void run(Context& context, const RowProduct& p, const Segments& segments) {
  with_unit([&]<typename Unit>() { row_product<Unit>(context, p, segments); });
}

}  // namespace

template <>
void PairProducts<kUnitBackend>::forward(Context& context, TensorView y, ConstTensorView x,
                                         ConstTensorView weight, ConstTensorView bias,
                                         ConstTensorView segments) {
  const Output out{y.raw(), y.dim(1), y.dtype() == DType::bf16, false,
                   bias.present() ? bias.data<float>() : nullptr};
  run(context, {out, bits(x), bits(weight), y.dim(1), x.dim(1), true}, segments_of(segments, x.dim(0)));
}

template <>
void PairProducts<kUnitBackend>::backward_data(Context& context, TensorView dx, ConstTensorView dy,
                                               ConstTensorView weight, Write write,
                                               ConstTensorView segments) {
  const Output out{dx.raw(), dx.dim(1), dx.dtype() == DType::bf16, write == Write::add, nullptr};
  run(context, {out, bits(dy), bits(weight), dx.dim(1), dy.dim(1), false}, segments_of(segments, dy.dim(0)));
}

}  // namespace switchyard::kernels
