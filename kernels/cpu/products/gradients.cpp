// Weight and bias gradients on the CPU, fp32 within a block of rows, exact between blocks (gradient_sum.h).
#include <cstring>

#include "kernels/cpu/grid.h"
#include "kernels/cpu/products/bf16/dispatch.h"
#include "kernels/cpu/products/gradient_pieces.h"
#include "kernels/cpu/products/widen.h"
#include "kernels/ops/grouped_linear.h"

namespace switchyard::kernels {

namespace {

// Adds the gradient of one block of rows. packed_dy and packed_x are the thread's scratch.
std::int64_t add_block(const WeightGradient<float>& g, const Piece& piece, const RowBlock& block,
                       float* packed_dy, float* packed_x) {
  const std::int64_t row = block.row, depth = block.depth;
  for (std::int64_t m = 0; m < piece.out_rows; m += kTileRows) {
    const std::int64_t rows = piece.out_rows - m < kTileRows ? piece.out_rows - m : kTileRows;
    const float* from = g.dy + row * g.O + piece.o + m;
    float* to = packed_dy + m * depth;
    if (rows == kTileRows) {
      for (std::int64_t k = 0; k < depth; ++k)
        std::memcpy(to + k * kTileRows, from + k * g.O, kTileRows * sizeof(float));
    } else {
      for (std::int64_t k = 0; k < depth; ++k)
        for (std::int64_t r = 0; r < rows; ++r) to[k * kTileRows + r] = from[k * g.O + r];
    }
  }
  std::int64_t* first_sums = g.sums + (piece.expert * g.O + piece.o) * g.I + piece.i;
  std::int64_t refused = 0;
  for (std::int64_t panel = 0; panel < piece.panels.count; ++panel) {
    const std::int64_t column = piece.i + piece.panels.begin(panel);
    const std::int64_t width = piece.panels.width(panel);
    const std::int64_t stride = piece.panels.stride(panel);
    pack_rows(packed_x, stride, g.x + row * g.I + column, g.I, depth, width);
    for (std::int64_t m = 0; m < piece.out_rows; m += kTileRows) {
      const std::int64_t rows = piece.out_rows - m < kTileRows ? piece.out_rows - m : kTileRows;
      alignas(64) float values[kTileRows * kPanelWidth];
      TileCall call{};
      call.out = values;
      call.ldout = kPanelWidth;
      call.columns = width;
      call.start = Start::zero;
      call.a = packed_dy + m * depth;
      call.lda = kTileRows;
      call.b = packed_x;
      call.ldb = stride;
      call.depth = depth;
      std::int64_t* sums = first_sums + m * g.I + piece.panels.begin(panel);
      // The next tile's sums come from memory while this one is computed: with few rows that is what takes
      // the time.
      const std::int64_t lines = (width + 7) / 8;
      if (m + rows < piece.out_rows) {
        call.ahead = {sums + rows * g.I, g.I * 8, lines, at_most(piece.out_rows - m - rows, kTileRows)};
      } else if (panel + 1 < piece.panels.count) {
        call.ahead = {first_sums + piece.panels.begin(panel + 1), g.I * 8, lines,
                      at_most(piece.out_rows, kTileRows)};
      }
      run_tile<Left::columns>(rows, call);
      for (std::int64_t r = 0; r < rows; ++r)
        refused += add_to_grid(sums + r * g.I, values + r * kPanelWidth, width, g.limit);
    }
  }
  return refused;
}

constexpr std::int64_t kMostRowsOfPiece = 16 * kTileRows;
constexpr PieceSizes kPieces{8 * kPanelWidth, kMostRowsOfPiece, 2 * kTileRows, kTileVecs};

void weight_gradient(Context& context, const WeightGradient<float>& g, std::int64_t experts,
                     const Segments& segments, std::int64_t* overflow) {
  if (g.O == 0 || g.I == 0) return;
  Threads& threads = context.threads();
  ArenaScope scratch(context.scratch());
  constexpr std::int64_t kDyFloats = kGradientBlockRows * kMostRowsOfPiece;
  constexpr std::int64_t kXFloats = kGradientBlockRows * kPanelWidth;
  auto* packed = scratch.tensor(DType::f32, {threads.count(), kDyFloats + kXFloats}).data<float>();
  for_gradient_blocks(threads, g, experts, segments, kPieces, overflow, [&](int worker) {
    float* packed_dy = packed + worker * (kDyFloats + kXFloats);
    return [&g, packed_dy, packed_x = packed_dy + kDyFloats](const Piece& piece, const RowBlock& block) {
      return add_block(g, piece, block, packed_dy, packed_x);
    };
  });
}

// Columns [begin, end) of the bias gradient.
template <typename A>
std::int64_t bias_columns(std::int64_t* sums, std::int64_t limit, const A* dy, std::int64_t N, std::int64_t O,
                          std::int64_t begin, std::int64_t end) {
  std::int64_t refused = 0;
  for (std::int64_t row = 0; row < N; row += kGradientBlockRows) {
    const std::int64_t stop = row + kGradientBlockRows < N ? row + kGradientBlockRows : N;
    for (std::int64_t o = begin; o < end; o += Vec::kWidth) {
      const std::int64_t n = end - o < Vec::kWidth ? end - o : Vec::kWidth;
      Vec total = Vec::zero();
      for (std::int64_t r = row; r < stop; ++r) total = total + Vec::load(dy + r * O + o, n);
      float values[Vec::kWidth];
      total.store(values);
      refused += add_to_grid(sums + o, values, n, limit);
    }
  }
  return refused;
}

void bias_gradient(Context& context, const GradientSum& dbias, ConstTensorView dy) {
  constexpr std::int64_t kColumnGrain = 64;
  auto* sums = dbias.sums.data<std::int64_t>();
  auto* overflow = dbias.overflow.data<std::int64_t>();
  with_element(dy.dtype(), [&](auto tag) {
    const auto* pdy = dy.data<typename decltype(tag)::Element>();
    context.threads().run(dy.dim(1), kColumnGrain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t refused = bias_columns(sums, dbias.limit, pdy, dy.dim(0), dy.dim(1), begin, end);
      if (refused > 0) __atomic_fetch_add(overflow, refused, __ATOMIC_RELAXED);
    });
  });
}

WeightGradient<float> make_gradient(const GradientSum& dweight, ConstTensorView dy, ConstTensorView x) {
  return {dweight.sums.data<std::int64_t>(),
          dweight.limit,
          dy.data<float>(),
          x.data<float>(),
          dy.dim(1),
          x.dim(1)};
}

// bf16 at levels that have no unit for it: over copies in fp32.
void add_weight_gradient(Context& context, const GradientSum& dweight, ConstTensorView dy, ConstTensorView x,
                         std::int64_t experts, const Segments& segments) {
  ArenaScope scratch(context.scratch());
  const WeightGradient<float> gradient =
      make_gradient(dweight, widened(context, scratch, dy), widened(context, scratch, x));
  weight_gradient(context, gradient, experts, segments, dweight.overflow.data<std::int64_t>());
}

}  // namespace

template <>
void Linear<kBackend>::backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                                       ConstTensorView x) {
  const auto on_unit = [&](auto unit) { PairProducts<unit()>::backward_weight(context, dweight, dy, x, {}); };
  if (on_bf16_unit(context, x.dtype(), on_unit)) return;
  add_weight_gradient(context, dweight, dy, x, 1, Segments(x.dim(0)));
}

template <>
void Linear<kBackend>::backward_bias(Context& context, const GradientSum& dbias, ConstTensorView dy) {
  bias_gradient(context, dbias, dy);
}

template <>
void GroupedLinear<kBackend>::backward_weight(Context& context, const GradientSum& dweight,
                                              ConstTensorView dy, ConstTensorView x,
                                              ConstTensorView segments) {
  const auto on_unit = [&](auto unit) {
    PairProducts<unit()>::backward_weight(context, dweight, dy, x, segments);
  };
  if (on_bf16_unit(context, x.dtype(), on_unit)) return;
  add_weight_gradient(context, dweight, dy, x, dweight.sums.dim(0), Segments(segments));
}

}  // namespace switchyard::kernels
