// Backward attention on the CPU, fp32. A piece is one key/value head of one sequence: it walks over blocks of
// keys, for each over the query heads that share it and the blocks of queries that see it, in this order.
// Weights are computed again from lse; only one block of them exists at a time.
#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/products/bf16/dispatch.h"
#include "kernels/cpu/products/widen.h"

namespace switchyard::kernels {

namespace {

struct BackwardPass {
  float* dq;
  float* dk;
  float* dv;
  const float* dy;
  const float* q;
  const float* k;
  const float* v;
  const float* lse;
  const float* delta;  ///< (B, H, T): dot of dy and y
  float scale;
  AttentionExtents e;
  Panels panels;
};

// One thread's scratch.
struct Scratch {
  static std::int64_t floats(const AttentionExtents& e, const Panels& panels) {
    return kKeysOfBlock * (2 * e.D + 3 * panels.padded_columns()) +
           2 * kQueriesOfBlock * (kKeysOfBlock + panels.padded_columns());
  }
  Scratch(float* memory, const AttentionExtents& e, const Panels& panels)
      : keys(memory),
        dkeys(keys + kKeysOfBlock * panels.padded_columns()),
        dvalues(dkeys + kKeysOfBlock * panels.padded_columns()),
        queries(dvalues + kKeysOfBlock * panels.padded_columns()),
        dout(queries + kQueriesOfBlock * panels.padded_columns()),
        weights(dout + kQueriesOfBlock * panels.padded_columns()),
        dscores(weights + kQueriesOfBlock * kKeysOfBlock),
        keys_transposed(dscores + kQueriesOfBlock * kKeysOfBlock),
        values_transposed(keys_transposed + kKeysOfBlock * e.D) {}

  float* keys;     // panels of D
  float* dkeys;    // (kKeysOfBlock, D padded)
  float* dvalues;  // (kKeysOfBlock, D padded)
  float* queries;  // panels of D
  float* dout;     // panels of D
  float* weights;  // (kQueriesOfBlock, kKeysOfBlock)
  float* dscores;  // (kQueriesOfBlock, kKeysOfBlock)
  float* keys_transposed;
  float* values_transposed;
};

// The block at hand: queries [t, t + queries) of head h against keys [s, s + keys) of sequence b.
struct Block {
  std::int64_t b, h, t, queries, s, keys;
};

std::int64_t least(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

// scores and dweights of one query, which sees keys [from, n) of the block, become weights and dscores; zeros
// elsewhere.
void score_gradients(float* weights, float* dscores, std::int64_t from, std::int64_t n, float scale,
                     float lse, float delta) {
  const Vec scales = Vec::broadcast(scale);
  const Vec shift = Vec::broadcast(lse);
  const Vec mean = Vec::broadcast(delta);
  for (std::int64_t c = 0; c < kKeysOfBlock; c += Vec::kWidth) {
    if (c >= n || c + Vec::kWidth <= from) {
      Vec::zero().store(weights + c);
      Vec::zero().store(dscores + c);
      continue;
    }
    const Vec weight = exp(Vec::load(weights + c) * scales - shift);
    const Vec dscore = weight * (Vec::load(dscores + c) - mean) * scales;
    weight.store(weights + c);
    dscore.store(dscores + c);
    for (std::int64_t masked = c; masked < from; ++masked) weights[masked] = dscores[masked] = 0;
    for (std::int64_t masked = n; masked < c + Vec::kWidth; ++masked) weights[masked] = dscores[masked] = 0;
  }
}

void recompute_weights(const BackwardPass& p, const Block& at, const Scratch& scratch) {
  const AttentionExtents& e = p.e;
  for (std::int64_t m = 0; m < at.queries; m += kTileRows) {
    const std::int64_t rows = least(at.queries - m, kTileRows);
    const std::int64_t from = e.query(at.b, at.t + m, at.h);
    const std::int64_t seen = at.t + m + rows - at.s;  // by the tile's last query
    float* weights = scratch.weights + m * kKeysOfBlock;
    float* dscores = scratch.dscores + m * kKeysOfBlock;
    score_tile(weights, p.q + from, e.H * e.D, rows, scratch.keys_transposed, e.D, seen);
    score_tile(dscores, p.dy + from, e.H * e.D, rows, scratch.values_transposed, e.D, seen);
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t t = at.t + m + r;
      const std::int64_t query = (at.b * e.H + at.h) * e.T + t;
      score_gradients(weights + r * kKeysOfBlock, dscores + r * kKeysOfBlock, e.first_key(t) - at.s,
                      least(t + 1 - at.s, at.keys), p.scale, p.lse[query], p.delta[query]);
    }
  }
}

// out (keys, D padded) += a^T * b, a (queries, kKeysOfBlock), b in panels of D; from the first query of the
// block that sees a key of the tile.
void add_key_gradients(float* out, const float* a, const float* b, const Block& at, const Panels& panels) {
  for (std::int64_t j = 0; j < at.keys; j += kTileRows) {
    const std::int64_t skip = at.s + j > at.t ? at.s + j - at.t : 0;
    if (skip >= at.queries) break;
    for (std::int64_t p = 0; p < panels.count; ++p) {
      const std::int64_t stride = panels.stride(p);
      const TileCall call{out + j * panels.padded_columns() + panels.begin(p),
                          panels.padded_columns(),
                          stride,
                          Start::output,
                          a + skip * kKeysOfBlock + j,
                          kKeysOfBlock,
                          b + panels.begin(p) * kQueriesOfBlock + skip * stride,
                          stride,
                          at.queries - skip,
                          nullptr,
                          {}};
      run_tile<Left::columns>(least(at.keys - j, kTileRows), call);
    }
  }
}

void add_query_gradients(const BackwardPass& p, const Block& at, const Scratch& scratch) {
  const AttentionExtents& e = p.e;
  // All tiles of a block of queries start with the first block of keys that its first query sees.
  const bool first = at.s == e.first_key(at.t) / kKeysOfBlock * kKeysOfBlock;
  for (std::int64_t m = 0; m < at.queries; m += kTileRows) {
    const std::int64_t rows = least(at.queries - m, kTileRows);
    const std::int64_t seen = least(at.t + m + rows - at.s, at.keys);
    if (seen <= 0) continue;
    for (std::int64_t panel = 0; panel < p.panels.count; ++panel) {
      const std::int64_t stride = p.panels.stride(panel);
      const TileCall call{p.dq + e.query(at.b, at.t + m, at.h) + p.panels.begin(panel),
                          e.H * e.D,
                          p.panels.width(panel),
                          first ? Start::zero : Start::output,
                          scratch.dscores + m * kKeysOfBlock,
                          kKeysOfBlock,
                          scratch.keys + p.panels.begin(panel) * kKeysOfBlock,
                          stride,
                          seen,
                          nullptr,
                          {}};
      run_tile<Left::rows>(rows, call);
    }
  }
}

void store_key_gradients(float* to, const float* from, const Block& at, const AttentionExtents& e,
                         const Panels& panels) {
  for (std::int64_t j = 0; j < at.keys; ++j)
    for (std::int64_t d = 0; d < e.D; d += Vec::kWidth)
      Vec::load(from + j * panels.padded_columns() + d)
          .store(to + j * e.G * e.D + d, least(e.D - d, Vec::kWidth));
}

void key_block(const BackwardPass& p, std::int64_t b, std::int64_t g, std::int64_t s,
               const Scratch& scratch) {
  const AttentionExtents& e = p.e;
  const std::int64_t sharing = e.H / e.G;
  const std::int64_t width = p.panels.padded_columns();
  Block at{b, 0, 0, 0, s, least(e.S - s, kKeysOfBlock)};
  // Behind it no query sees a key of the block.
  const std::int64_t last_query = e.window == 0 ? e.T : least(e.T, s + at.keys - 1 + e.window);
  const std::int64_t from = e.key(b, s, g);
  pack_block_transposed(scratch.keys_transposed, p.k + from, e.G * e.D, at.keys, e.D);
  pack_block_transposed(scratch.values_transposed, p.v + from, e.G * e.D, at.keys, e.D);
  pack_block(scratch.keys, p.k + from, e.G * e.D, at.keys, kKeysOfBlock, p.panels);
  for (std::int64_t i = 0; i < kKeysOfBlock * width; i += Vec::kWidth) {
    Vec::zero().store(scratch.dkeys + i);
    Vec::zero().store(scratch.dvalues + i);
  }
  for (at.h = g * sharing; at.h < (g + 1) * sharing; ++at.h) {
    for (at.t = s; at.t < last_query; at.t += kQueriesOfBlock) {
      at.queries = least(e.T - at.t, kQueriesOfBlock);
      const std::int64_t query = e.query(b, at.t, at.h);
      pack_block(scratch.queries, p.q + query, e.H * e.D, at.queries, kQueriesOfBlock, p.panels);
      pack_block(scratch.dout, p.dy + query, e.H * e.D, at.queries, kQueriesOfBlock, p.panels);
      recompute_weights(p, at, scratch);
      add_key_gradients(scratch.dvalues, scratch.weights, scratch.dout, at, p.panels);
      add_key_gradients(scratch.dkeys, scratch.dscores, scratch.queries, at, p.panels);
      add_query_gradients(p, at, scratch);
    }
  }
  store_key_gradients(p.dk + from, scratch.dkeys, at, e, p.panels);
  store_key_gradients(p.dv + from, scratch.dvalues, at, e, p.panels);
}

// delta (B, H, T) = dot of dy and y, both (B, T, H, D).
void dot_rows(Threads& threads, float* delta, const float* dy, const float* y, const AttentionExtents& e) {
  constexpr std::int64_t kRowGrain = 64;
  threads.run(e.B * e.H * e.T, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = e.query(row / e.T / e.H, row % e.T, row / e.T % e.H);
      Vec total = Vec::zero();
      for (std::int64_t d = 0; d < e.D; d += Vec::kWidth) {
        const std::int64_t n = least(e.D - d, Vec::kWidth);
        total = fma(Vec::load(dy + at + d, n), Vec::load(y + at + d, n), total);
      }
      delta[row] = sum(total);
    }
  });
}

void backward_f32(Context& context, TensorView dq, TensorView dk, TensorView dv, ConstTensorView dy,
                  ConstTensorView q, ConstTensorView k, ConstTensorView v, ConstTensorView y,
                  ConstTensorView lse, float scale, std::int64_t window) {
  const AttentionExtents e(q, k, window);
  const Panels panels(e.D);
  Threads& threads = context.threads();
  ArenaScope scratch(context.scratch());
  auto* delta = scratch.tensor(DType::f32, {e.B, e.H, e.T}).data<float>();
  dot_rows(threads, delta, dy.data<float>(), y.data<float>(), e);
  const BackwardPass p{dq.data<float>(),
                       dk.data<float>(),
                       dv.data<float>(),
                       dy.data<float>(),
                       q.data<float>(),
                       k.data<float>(),
                       v.data<float>(),
                       lse.data<float>(),
                       delta,
                       scale,
                       e,
                       panels};
  const std::int64_t floats = Scratch::floats(e, panels);
  auto* memory = scratch.tensor(DType::f32, {threads.count(), floats}).data<float>();
  threads.run_on_workers(e.B * e.G, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head)
      for (std::int64_t s = 0; s < e.S; s += kKeysOfBlock)
        key_block(p, head / e.G, head % e.G, s, Scratch(memory + worker * floats, e, panels));
  });
}

}  // namespace

// bf16 at levels that have no unit for it: over copies in fp32.
template <>
void Attention<kBackend>::backward(Context& context, TensorView dq, TensorView dk, TensorView dv,
                                   ConstTensorView dy, ConstTensorView q, ConstTensorView k,
                                   ConstTensorView v, ConstTensorView y, ConstTensorView lse, float scale,
                                   std::int64_t window) {
  const auto on_unit = [&](auto unit) {
    PairAttention<unit()>::backward(context, dq, dk, dv, dy, q, k, v, y, lse, scale, window);
  };
  if (on_bf16_unit(context, q.dtype(), on_unit)) return;
  ArenaScope scratch(context.scratch());
  const TensorView wide_dq = widened_output(context, scratch, dq);
  const TensorView wide_dk = widened_output(context, scratch, dk);
  const TensorView wide_dv = widened_output(context, scratch, dv);
  backward_f32(context, wide_dq, wide_dk, wide_dv, widened(context, scratch, dy),
               widened(context, scratch, q), widened(context, scratch, k), widened(context, scratch, v),
               widened(context, scratch, y), lse, scale, window);
  narrow(context, dq, wide_dq);
  narrow(context, dk, wide_dk);
  narrow(context, dv, wide_dv);
}

}  // namespace switchyard::kernels
