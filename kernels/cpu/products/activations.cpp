// Products of rows with weights on the CPU, fp32: outputs and input gradients, dense and grouped.
//
// Work is cut into (segment, rows of a block, panel of columns), and whichever thread is free takes the next
// piece: a busy expert is shared by all threads. A piece packs its own panel of the weight into the thread's
// scratch; with kRowsOfBlock rows per panel that costs a few percent, stays in the thread's cache and needs
// no second pass over all threads.
#include "kernels/cpu/products/bf16/dispatch.h"
#include "kernels/cpu/products/panel.h"
#include "kernels/cpu/products/segments.h"
#include "kernels/cpu/products/widen.h"
#include "kernels/ops/grouped_linear.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowsOfBlock = 512;
constexpr std::int64_t kDepthOfBlock = 512;

struct RowProduct {
  float* out;           ///< (rows, columns)
  const float* in;      ///< (rows, depth)
  const float* weight;  ///< of expert 0
  const float* bias;
  std::int64_t columns;
  std::int64_t depth;
  bool transposed;  ///< weight is (columns, depth), else (depth, columns)
  Start start;
};

// Columns of one panel, for the rows [first, first + rows).
void product_piece(const RowProduct& p, float* packed, const float* weight, std::int64_t first,
                   std::int64_t rows, const Panels& panels, std::int64_t panel) {
  const std::int64_t column = panels.begin(panel);
  const std::int64_t width = panels.width(panel);
  const std::int64_t stride = panels.stride(panel);
  const std::int64_t blocks = p.depth > 0 ? (p.depth + kDepthOfBlock - 1) / kDepthOfBlock : 1;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t k = block * p.depth / blocks;
    const std::int64_t depth = (block + 1) * p.depth / blocks - k;
    if (p.transposed) {
      pack_transposed(packed, stride, weight + column * p.depth + k, p.depth, depth, width);
    } else {
      pack_rows(packed, stride, weight + k * p.columns + column, p.columns, depth, width);
    }
    TileCall call{};
    call.out = p.out + first * p.columns + column;
    call.ldout = p.columns;
    call.columns = width;
    call.start = block == 0 ? p.start : Start::output;
    call.a = p.in + first * p.depth + k;
    call.lda = p.depth;
    call.b = packed;
    call.ldb = stride;
    call.depth = depth;
    call.bias = p.bias != nullptr && block + 1 == blocks ? p.bias + column : nullptr;
    run_tiles<Left::rows>(rows, call);
  }
}

void row_product(Context& context, const RowProduct& p, const Segments& segments) {
  const Panels panels(p.columns);
  if (panels.count == 0) return;
  Threads& threads = context.threads();
  ArenaScope scratch(context.scratch());
  // before[s]: pieces of the segments before s.
  auto* before = scratch.tensor(DType::i64, {segments.count() + 1}).data<std::int64_t>();
  before[0] = 0;
  for (std::int64_t s = 0; s < segments.count(); ++s) {
    const std::int64_t blocks = (segments[s].rows + kRowsOfBlock - 1) / kRowsOfBlock;
    before[s + 1] = before[s] + blocks * panels.count;
  }
  constexpr std::int64_t kPackedFloats = kDepthOfBlock * kPanelWidth;
  auto* packed = scratch.tensor(DType::f32, {threads.count(), kPackedFloats}).data<float>();
  threads.run_on_workers(before[segments.count()], 1, [&](int worker, std::int64_t begin, std::int64_t end) {
    std::int64_t s = 0;
    for (std::int64_t piece = begin; piece < end; ++piece) {
      while (before[s + 1] <= piece) ++s;
      const Segment segment = segments[s];
      const std::int64_t blocks = (segment.rows + kRowsOfBlock - 1) / kRowsOfBlock;
      const std::int64_t block = (piece - before[s]) / panels.count;
      const std::int64_t row = block * segment.rows / blocks;
      product_piece(p, packed + worker * kPackedFloats, p.weight + segment.expert * p.columns * p.depth,
                    segment.first + row, (block + 1) * segment.rows / blocks - row, panels,
                    (piece - before[s]) % panels.count);
    }
  });
}

RowProduct forward_product(TensorView y, ConstTensorView x, ConstTensorView weight, ConstTensorView bias) {
  return {y.data<float>(),
          x.data<float>(),
          weight.data<float>(),
          bias.present() ? bias.data<float>() : nullptr,
          y.dim(1),
          x.dim(1),
          true,
          Start::zero};
}

RowProduct backward_product(TensorView dx, ConstTensorView dy, ConstTensorView weight, Start start) {
  return {
      dx.data<float>(), dy.data<float>(), weight.data<float>(), nullptr, dx.dim(1), dy.dim(1), false, start};
}

// bf16 at levels that have no unit for it: the products above over copies in fp32.
template <typename Product>
void over_copies(Context& context, TensorView out, ConstTensorView in, ConstTensorView weight,
                 Product product) {
  ArenaScope scratch(context.scratch());
  const TensorView wide = widened_output(context, scratch, out);
  product(wide, widened(context, scratch, in), widened(context, scratch, weight));
  narrow(context, out, wide);
}

}  // namespace

template <>
void Linear<kBackend>::forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                               ConstTensorView bias) {
  const auto on_unit = [&](auto unit) { PairProducts<unit()>::forward(context, y, x, weight, bias, {}); };
  if (on_bf16_unit(context, x.dtype(), on_unit)) return;
  over_copies(context, y, x, weight, [&](TensorView out, ConstTensorView in, ConstTensorView w) {
    row_product(context, forward_product(out, in, w, bias), Segments(in.dim(0)));
  });
}

template <>
void Linear<kBackend>::backward_data(Context& context, TensorView dx, ConstTensorView dy,
                                     ConstTensorView weight, Write write) {
  const auto on_unit = [&](auto unit) {
    PairProducts<unit()>::backward_data(context, dx, dy, weight, write, {});
  };
  if (on_bf16_unit(context, dy.dtype(), on_unit)) return;
  const Start start = write == Write::add ? Start::output : Start::zero;
  over_copies(context, dx, dy, weight, [&](TensorView out, ConstTensorView in, ConstTensorView w) {
    row_product(context, backward_product(out, in, w, start), Segments(in.dim(0)));
  });
}

template <>
void GroupedLinear<kBackend>::forward(Context& context, TensorView y, ConstTensorView x,
                                      ConstTensorView weight, ConstTensorView segments) {
  const auto on_unit = [&](auto unit) { PairProducts<unit()>::forward(context, y, x, weight, {}, segments); };
  if (on_bf16_unit(context, x.dtype(), on_unit)) return;
  over_copies(context, y, x, weight, [&](TensorView out, ConstTensorView in, ConstTensorView w) {
    row_product(context, forward_product(out, in, w, {}), Segments(segments));
  });
}

template <>
void GroupedLinear<kBackend>::backward_data(Context& context, TensorView dx, ConstTensorView dy,
                                            ConstTensorView weight, ConstTensorView segments) {
  const auto on_unit = [&](auto unit) {
    PairProducts<unit()>::backward_data(context, dx, dy, weight, Write::overwrite, segments);
  };
  if (on_bf16_unit(context, dy.dtype(), on_unit)) return;
  over_copies(context, dx, dy, weight, [&](TensorView out, ConstTensorView in, ConstTensorView w) {
    row_product(context, backward_product(out, in, w, Start::zero), Segments(segments));
  });
}

}  // namespace switchyard::kernels
