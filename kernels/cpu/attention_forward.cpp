// Forward attention on the CPU, fp32. A piece is a tile of queries of one head, walking over blocks of keys.
#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/attention_softmax.h"
#include "kernels/cpu/products/bf16/dispatch.h"
#include "kernels/cpu/products/widen.h"

namespace switchyard::kernels {

namespace {

// Keys and values of all blocks of one (b, g), packed.
struct PackedKeys {
  PackedKeys(float* memory, const AttentionExtents& e, const Panels& panels)
      : block_floats(kKeysOfBlock * (e.D + panels.padded_columns())),
        blocks((e.S + kKeysOfBlock - 1) / kKeysOfBlock),
        data(memory),
        keys_floats(kKeysOfBlock * e.D) {}

  float* keys(std::int64_t head, std::int64_t block) const {
    return data + (head * blocks + block) * block_floats;
  }
  float* values(std::int64_t head, std::int64_t block) const { return keys(head, block) + keys_floats; }

  std::int64_t block_floats;
  std::int64_t blocks;
  float* data;
  std::int64_t keys_floats;
};

// out (rows, D padded) += weights * values for `range` of the keys, of all rows from m on.
void add_range(float* out, const float* weights, const float* values, std::int64_t m, std::int64_t rows,
               KeyRange range, const Panels& panels, std::int64_t p) {
  if (range.empty()) return;
  const std::int64_t stride = panels.stride(p);
  const TileCall call{out + m * panels.padded_columns() + panels.begin(p),
                      panels.padded_columns(),
                      stride,
                      Start::output,
                      weights + m * kKeysOfBlock + range.begin,
                      kKeysOfBlock,
                      values + panels.begin(p) * kKeysOfBlock + range.begin * stride,
                      stride,
                      range.end - range.begin,
                      nullptr,
                      {}};
  run_tile<Left::rows>(rows, call);
}

// out (rows, D padded) += weights * values; row m sees seen[m] of this block, and neither end of the ranges
// ever falls from one row to the next. Keys all rows see go through one tile, those before and behind row by
// row, so that no row touches a key it does not see; each row adds its keys in order.
void add_values(float* out, const float* weights, const float* values, std::int64_t rows,
                const KeyRange* seen, const Panels& panels) {
  const KeyRange shared{seen[rows - 1].begin, seen[0].end};
  for (std::int64_t p = 0; p < panels.count; ++p) {
    if (shared.empty()) {
      for (std::int64_t m = 0; m < rows; ++m) add_range(out, weights, values, m, 1, seen[m], panels, p);
      continue;
    }
    for (std::int64_t m = 0; m + 1 < rows; ++m)
      add_range(out, weights, values, m, 1, {seen[m].begin, shared.begin}, panels, p);
    add_range(out, weights, values, 0, rows, shared, panels, p);
    for (std::int64_t m = 1; m < rows; ++m)
      add_range(out, weights, values, m, 1, {shared.end, seen[m].end}, panels, p);
  }
}

struct ForwardPass {
  float* y;
  float* lse;
  const float* q;
  float scale;
  AttentionExtents e;
  Panels panels;
  PackedKeys packed;
};

// Queries [t, t + rows) of head h of sequence b; out is (kTileRows, D padded) of scratch.
void forward_tile(const ForwardPass& f, std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t rows,
                  float* out) {
  const AttentionExtents& e = f.e;
  const std::int64_t width = f.panels.padded_columns();
  const std::int64_t head = b * e.G + h / (e.H / e.G);
  const std::int64_t end = e.own_key(t + rows - 1) + 1;  // of the keys that any row sees
  alignas(64) float scores[kTileRows * kKeysOfBlock];
  Row state[kTileRows];
  KeyRange seen[kTileRows];
  for (std::int64_t i = 0; i < rows * width; i += Vec::kWidth) Vec::zero().store(out + i);
  for (std::int64_t block = e.first_key(t) / kKeysOfBlock; block * kKeysOfBlock < end; ++block) {
    const std::int64_t begin = block * kKeysOfBlock;
    score_tile(scores, f.q + e.query(b, t, h), e.H * e.D, rows, f.packed.keys(head, block), e.D, end - begin);
    for (std::int64_t m = 0; m < rows; ++m) {
      const std::int64_t first = e.first_key(t + m);
      seen[m] = {within_block(first - begin), within_block(e.own_key(t + m) + 1 - begin)};
      if (!seen[m].empty())
        softmax_block(scores + m * kKeysOfBlock, seen[m], f.scale, first >= begin, state[m], out + m * width,
                      width);
    }
    add_values(out, scores, f.packed.values(head, block), rows, seen, f.panels);
  }
  for (std::int64_t m = 0; m < rows; ++m) {
    const Vec share = Vec::broadcast(1.0F / state[m].total);
    float* y = f.y + e.query(b, t + m, h);
    for (std::int64_t d = 0; d < e.D; d += Vec::kWidth)
      (Vec::load(out + m * width + d) * share).store(y + d, e.D - d < Vec::kWidth ? e.D - d : Vec::kWidth);
    f.lse[(b * e.H + h) * e.T + t + m] = state[m].largest + __builtin_logf(state[m].total);
  }
}

void pack_keys(Threads& threads, const ForwardPass& f, const float* k, const float* v) {
  const AttentionExtents& e = f.e;
  threads.run(e.B * e.G * f.packed.blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t head = index / f.packed.blocks;
      const std::int64_t block = index % f.packed.blocks;
      const std::int64_t key = block * kKeysOfBlock;
      const std::int64_t count = e.S - key < kKeysOfBlock ? e.S - key : kKeysOfBlock;
      const std::int64_t from = e.key(head / e.G, key, head % e.G);
      pack_block_transposed(f.packed.keys(head, block), k + from, e.G * e.D, count, e.D);
      pack_block(f.packed.values(head, block), v + from, e.G * e.D, count, kKeysOfBlock, f.panels);
    }
  });
}

void forward_f32(Context& context, TensorView y, TensorView lse, ConstTensorView q, ConstTensorView k,
                 ConstTensorView v, float scale, std::int64_t window) {
  const AttentionExtents e(q, k, window);
  const Panels panels(e.D);
  Threads& threads = context.threads();
  ArenaScope scratch(context.scratch());
  const PackedKeys sizes(nullptr, e, panels);
  auto* memory = scratch.tensor(DType::f32, {e.B * e.G, sizes.blocks, sizes.block_floats}).data<float>();
  const ForwardPass f{
      y.data<float>(), lse.data<float>(), q.data<float>(), scale, e, panels, PackedKeys(memory, e, panels)};
  pack_keys(threads, f, k.data<float>(), v.data<float>());
  const std::int64_t out_floats = kTileRows * panels.padded_columns();
  auto* out = scratch.tensor(DType::f32, {threads.count(), out_floats}).data<float>();
  const std::int64_t query_blocks = (e.T + kQueriesOfBlock - 1) / kQueriesOfBlock;
  threads.run_on_workers(e.B * e.H * query_blocks, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t b = index / query_blocks / e.H;
      const std::int64_t h = index / query_blocks % e.H;
      const std::int64_t t = index % query_blocks * kQueriesOfBlock;
      const std::int64_t stop = t + kQueriesOfBlock < e.T ? t + kQueriesOfBlock : e.T;
      for (std::int64_t m = t; m < stop; m += kTileRows)
        forward_tile(f, b, h, m, stop - m < kTileRows ? stop - m : kTileRows, out + worker * out_floats);
    }
  });
}

}  // namespace

// bf16 at levels that have no unit for it: over copies in fp32.
template <>
void Attention<kBackend>::forward(Context& context, TensorView y, TensorView lse, ConstTensorView q,
                                  ConstTensorView k, ConstTensorView v, float scale, std::int64_t window) {
  const auto on_unit = [&](auto unit) {
    PairAttention<unit()>::forward(context, y, lse, q, k, v, scale, window);
  };
  if (on_bf16_unit(context, q.dtype(), on_unit)) return;
  ArenaScope scratch(context.scratch());
  const TensorView wide = widened_output(context, scratch, y);
  forward_f32(context, wide, lse, widened(context, scratch, q), widened(context, scratch, k),
              widened(context, scratch, v), scale, window);
  narrow(context, y, wide);
}

}  // namespace switchyard::kernels
