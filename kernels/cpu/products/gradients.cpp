// Weight and bias gradients on the CPU, fp32 within a block of rows, exact between blocks (gradient_sum.h).
//
// Work is cut by output: a piece owns some rows and columns of one expert's gradient and walks over all
// segments of that expert, so no two threads add to the same element and the sums stay in the thread's cache
// from block to block.
#include <cstring>

#include "kernels/cpu/grid.h"
#include "kernels/cpu/products/bf16/dispatch.h"
#include "kernels/cpu/products/panel.h"
#include "kernels/cpu/products/segments.h"
#include "kernels/cpu/products/widen.h"
#include "kernels/ops/grouped_linear.h"

namespace switchyard::kernels {

namespace {

struct WeightGradient {
  std::int64_t* sums;  ///< of expert 0, (O, I)
  std::int64_t limit;
  const float* dy;  ///< (rows, O)
  const float* x;   ///< (rows, I)
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

// Adds the gradient of one block of rows. packed_dy and packed_x are the thread's scratch.
std::int64_t add_block(const WeightGradient& g, const Piece& piece, std::int64_t row, std::int64_t depth,
                       float* packed_dy, float* packed_x) {
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
      if (m + kTileRows < piece.out_rows) {
        call.ahead = {sums + kTileRows * g.I, g.I * 8, (width + 7) / 8};
      } else if (panel + 1 < piece.panels.count) {
        call.ahead = {first_sums + piece.panels.begin(panel + 1), g.I * 8, (width + 7) / 8};
      }
      run_tile<Left::columns>(rows, call);
      for (std::int64_t r = 0; r < rows; ++r)
        refused += add_to_grid(sums + r * g.I, values + r * kPanelWidth, width, g.limit);
    }
  }
  return refused;
}

constexpr std::int64_t kColumnsOfPiece = 8 * kPanelWidth;
constexpr std::int64_t kMostRowsOfPiece = 16 * kTileRows;

// As many rows as leave every thread a few pieces.
std::int64_t rows_of_piece(std::int64_t O, std::int64_t pieces_per_row_strip, int threads) {
  std::int64_t rows = kMostRowsOfPiece;
  while (rows > 2 * kTileRows && (O + rows - 1) / rows * pieces_per_row_strip < 6 * threads) rows /= 2;
  return rows;
}

void weight_gradient(Context& context, const WeightGradient& g, std::int64_t experts,
                     const Segments& segments, std::int64_t* overflow) {
  if (g.O == 0 || g.I == 0) return;
  Threads& threads = context.threads();
  const int crew = threads.count();
  const std::int64_t column_pieces = (g.I + kColumnsOfPiece - 1) / kColumnsOfPiece;
  const std::int64_t strip = rows_of_piece(g.O, experts * column_pieces, crew);
  const std::int64_t row_pieces = (g.O + strip - 1) / strip;
  ArenaScope scratch(context.scratch());
  constexpr std::int64_t kDyFloats = kGradientBlockRows * kMostRowsOfPiece;
  constexpr std::int64_t kXFloats = kGradientBlockRows * kPanelWidth;
  auto* packed = scratch.tensor(DType::f32, {crew, kDyFloats + kXFloats}).data<float>();
  threads.run_on_workers(
      experts * row_pieces * column_pieces, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
        float* packed_dy = packed + worker * (kDyFloats + kXFloats);
        std::int64_t refused = 0;
        for (std::int64_t index = begin; index < end; ++index) {
          const std::int64_t o = index / column_pieces % row_pieces * strip;
          const std::int64_t i = index % column_pieces * kColumnsOfPiece;
          const Piece piece{index / column_pieces / row_pieces, o, g.O - o < strip ? g.O - o : strip, i,
                            Panels(g.I - i < kColumnsOfPiece ? g.I - i : kColumnsOfPiece)};
          for (std::int64_t s = 0; s < segments.count(); ++s) {
            const Segment segment = segments[s];
            if (segment.expert != piece.expert) continue;
            for (std::int64_t row = 0; row < segment.rows; row += kGradientBlockRows) {
              const std::int64_t left = segment.rows - row;
              refused += add_block(g, piece, segment.first + row,
                                   left < kGradientBlockRows ? left : kGradientBlockRows, packed_dy,
                                   packed_dy + kDyFloats);
            }
          }
        }
        if (refused > 0) __atomic_fetch_add(overflow, refused, __ATOMIC_RELAXED);
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

WeightGradient make_gradient(const GradientSum& dweight, ConstTensorView dy, ConstTensorView x) {
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
  const WeightGradient gradient =
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
