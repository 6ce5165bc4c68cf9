// Backward attention in bf16. A piece is one key/value head of one sequence, walking over blocks of keys,
// query heads and blocks of queries as in kernels/cpu/attention_backward.cpp. Gradients of queries are summed
// in fp32, for all queries of the piece, and rounded at its end.
#include "kernels/cpu/attention_bf16/attention.h"
#include "kernels/cpu/attention_bf16/blocks.h"

namespace switchyard::kernels {

namespace {

struct BackwardPass {
  std::uint16_t* dq;
  std::uint16_t* dk;
  std::uint16_t* dv;
  const std::uint16_t* dy;
  const std::uint16_t* q;
  const std::uint16_t* k;
  const std::uint16_t* v;
  const float* lse;
  const float* delta;  ///< (B, H, T): dot of dy and y
  float scale;
  AttentionExtents e;
  Panels keys;    ///< of the keys of a block
  Panels panels;  ///< of D

  std::int64_t width() const { return panels.padded_columns(); }
  /// Queries of a head in the sums of their gradients, whole tiles.
  std::int64_t padded_queries() const { return (e.T + 31) / 32 * 32; }
};

// One thread's scratch: parts of one piece of memory, each a multiple of 64 bytes.
template <typename Unit>
class Scratch {
 public:
  static std::int64_t bytes(const BackwardPass& p) {
    const Scratch measured(Parts(0), p);
    return static_cast<std::int64_t>(measured.end_) +
           Unit::scratch_bytes(p.e.D > kKeysOfBlock ? p.e.D : kKeysOfBlock);
  }
  Scratch(unsigned char* memory, const BackwardPass& p)
      : Scratch(Parts(reinterpret_cast<std::uintptr_t>(memory)), p) {}

  void* rest() const { return reinterpret_cast<void*>(end_); }

  std::uint32_t* keys_transposed;    // columns of panels of keys
  std::uint32_t* values_transposed;  // the same
  std::uint32_t* keys;               // pairs of rows, in panels of D
  std::uint32_t* queries_packed;     // the same
  std::uint32_t* dout_packed;        // the same
  float* scores;                     // (queries, kKeysOfBlock)
  float* dscores;                    // the same
  std::uint16_t* weights;            // rounded
  std::uint16_t* dweights;           // gradients of scores, rounded
  std::uint32_t* left;               // one of the two above, packed as a left operand
  float* dkeys;                      // (kKeysOfBlock, D padded)
  float* dvalues;                    // the same
  float* dqueries;                   // (H / G, padded_queries, D padded)

 private:
  Scratch(Parts parts, const BackwardPass& p) {
    const std::int64_t queries = kQueriesOfBlock + 16;
    keys_transposed = parts.next<std::uint32_t>(packed_words(p.e.D, p.keys));
    values_transposed = parts.next<std::uint32_t>(packed_words(p.e.D, p.keys));
    keys = parts.next<std::uint32_t>(packed_words(kKeysOfBlock, p.panels));
    queries_packed = parts.next<std::uint32_t>(packed_words(kQueriesOfBlock, p.panels));
    dout_packed = parts.next<std::uint32_t>(packed_words(kQueriesOfBlock, p.panels));
    scores = parts.next<float>(queries * kKeysOfBlock);
    dscores = parts.next<float>(queries * kKeysOfBlock);
    weights = parts.next<std::uint16_t>(queries * kKeysOfBlock);
    dweights = parts.next<std::uint16_t>(queries * kKeysOfBlock);
    left = parts.next<std::uint32_t>(Unit::left_words(kKeysOfBlock, kQueriesOfBlock));
    dkeys = parts.next<float>(kKeysOfBlock * p.width());
    dvalues = parts.next<float>(kKeysOfBlock * p.width());
    dqueries = parts.next<float>(p.e.H / p.e.G * p.padded_queries() * p.width());
    end_ = parts.end();
  }

  std::uintptr_t end_;
};

// The block at hand: queries [t, t + queries) of head h against keys [s, s + keys) of sequence b.
struct Block {
  std::int64_t b, h, t, queries, s, keys;
};

// From scores and the products of dy and values of one query, which sees keys [from, n) of the block: its
// weights and the gradients of its scores, rounded; zeros elsewhere.
void score_gradients(std::uint16_t* weights, std::uint16_t* dweights, const float* scores,
                     const float* dscores, std::int64_t from, std::int64_t n, float scale, float lse,
                     float delta) {
  const Vec scales = Vec::broadcast(scale);
  const Vec shift = Vec::broadcast(lse);
  const Vec mean = Vec::broadcast(delta);
  for (std::int64_t c = 0; c < kKeysOfBlock; c += 16) {
    const __mmask32 behind = n > c ? first_elements(at_most(n - c, 16)) : 0;
    const __mmask32 before = from > c ? first_elements(at_most(from - c, 16)) : 0;
    const auto seen = static_cast<__mmask16>(behind & ~before);
    __m512 weight = _mm512_setzero_ps(), dscore = _mm512_setzero_ps();
    if (seen != 0) {
      const Vec exact = exp(Vec::load(scores + c) * scales - shift);
      weight = _mm512_maskz_mov_ps(seen, exact.v);
      dscore = _mm512_maskz_mov_ps(seen, (exact * (Vec::load(dscores + c) - mean) * scales).v);
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(weights + c), round_to_bf16(weight));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dweights + c), round_to_bf16(dscore));
  }
}

template <typename Unit>
void recompute_weights(const BackwardPass& p, const Block& at, const Scratch<Unit>& scratch, Unit& unit) {
  const AttentionExtents& e = p.e;
  for (std::int64_t m = 0; m < at.queries; m += Unit::kStripRows) {
    const std::int64_t rows = at_most(at.queries - m, Unit::kStripRows);
    const std::int64_t from = e.query(at.b, at.t + m, at.h);
    const std::int64_t seen = at.t + m + rows - at.s;  // by the strip's last query
    const std::int64_t place = m * kKeysOfBlock;
    score_rows(unit, scratch.scores + place, p.q + from, e.H * e.D, rows, scratch.keys_transposed, e.D, seen,
               p.keys);
    score_rows(unit, scratch.dscores + place, p.dy + from, e.H * e.D, rows, scratch.values_transposed, e.D,
               seen, p.keys);
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t t = at.t + m + r;
      const std::int64_t query = (at.b * e.H + at.h) * e.T + t;
      const std::int64_t row = place + r * kKeysOfBlock;
      score_gradients(scratch.weights + row, scratch.dweights + row, scratch.scores + row,
                      scratch.dscores + row, e.first_key(t) - at.s, at_most(t + 1 - at.s, at.keys), p.scale,
                      p.lse[query], p.delta[query]);
    }
  }
}

// sums (keys, D padded) += weights^T * packed, from the first query of the block that sees a key of the
// strip.
template <typename Unit>
void add_key_gradients(float* sums, const std::uint16_t* weights, const std::uint32_t* packed,
                       const Block& at, const Panels& panels, const Scratch<Unit>& scratch, Unit& unit) {
  const std::int64_t seen = at_most(at.t + at.queries - at.s, at.keys);
  Unit::pack_left(scratch.left, weights, kKeysOfBlock, at.queries, seen);
  for (std::int64_t j = 0; j < seen; j += Unit::kStripRows) {
    const std::int64_t skip = at.s + j > at.t ? at.s + j - at.t : 0;
    for (std::int64_t p = 0; p < panels.count; ++p) {
      const std::int64_t stride = panels.stride(p);
      const PanelCall call{nullptr,
                           0,
                           packed + panels.begin(p) * padded_depth(kQueriesOfBlock) / 2,
                           stride,
                           at.queries,
                           stride,
                           sums + j * panels.padded_columns() + panels.begin(p),
                           panels.padded_columns(),
                           true,
                           false,
                           {}};
      unit.left_strip({scratch.left, seen, j, at_most(seen - j, Unit::kStripRows), skip, {}, {}}, call);
    }
  }
}

template <typename Unit>
void add_query_gradients(const BackwardPass& p, const Block& at, const Scratch<Unit>& scratch, Unit& unit) {
  const AttentionExtents& e = p.e;
  // All strips of a block of queries start with the first block of keys that its first query sees.
  const bool first = at.s == e.first_key(at.t) / kKeysOfBlock * kKeysOfBlock;
  float* sums = scratch.dqueries + at.h % (e.H / e.G) * p.padded_queries() * p.width();
  for (std::int64_t m = 0; m < at.queries; m += Unit::kStripRows) {
    const std::int64_t rows = at_most(at.queries - m, Unit::kStripRows);
    const std::int64_t seen = at.t + m + rows - at.s;
    const std::int64_t whole = (seen + Unit::kDepthUnit - 1) / Unit::kDepthUnit * Unit::kDepthUnit;
    add_weighted(unit, sums + (at.t + m) * p.width(), scratch.dweights + m * kKeysOfBlock, kKeysOfBlock, rows,
                 scratch.keys, at_most(whole, kKeysOfBlock), kKeysOfBlock, p.panels, !first);
  }
}

// to (count, D), rows `ld` apart = sums (count, D padded), rounded.
void store_rounded(std::uint16_t* to, std::int64_t ld, const float* sums, std::int64_t count,
                   const AttentionExtents& e, std::int64_t width) {
  const Output out{to, ld, true, false, nullptr};
  for (std::int64_t row = 0; row < count; ++row)
    for (std::int64_t d = 0; d < e.D; d += 16)
      out.store(_mm512_loadu_ps(sums + row * width + d), row, d, e.D - d);
}

template <typename Unit>
void key_block(const BackwardPass& p, std::int64_t b, std::int64_t g, std::int64_t s,
               const Scratch<Unit>& scratch, Unit& unit) {
  const AttentionExtents& e = p.e;
  const std::int64_t sharing = e.H / e.G;
  Block at{b, 0, 0, 0, s, at_most(e.S - s, kKeysOfBlock)};
  // Behind it no query sees a key of the block.
  const std::int64_t last_query = e.window == 0 ? e.T : at_most(s + at.keys - 1 + e.window, e.T);
  const std::int64_t from = e.key(b, s, g);
  pack_keys_in_panels(scratch.keys_transposed, p.k + from, e.G * e.D, at.keys, e.D, p.keys);
  pack_keys_in_panels(scratch.values_transposed, p.v + from, e.G * e.D, at.keys, e.D, p.keys);
  pack_rows_in_panels(scratch.keys, p.k + from, e.G * e.D, at.keys, kKeysOfBlock, p.panels);
  for (std::int64_t i = 0; i < kKeysOfBlock * p.width(); i += Vec::kWidth) {
    Vec::zero().store(scratch.dkeys + i);
    Vec::zero().store(scratch.dvalues + i);
  }
  for (at.h = g * sharing; at.h < (g + 1) * sharing; ++at.h) {
    for (at.t = s; at.t < last_query; at.t += kQueriesOfBlock) {
      at.queries = at_most(e.T - at.t, kQueriesOfBlock);
      const std::int64_t query = e.query(b, at.t, at.h);
      pack_rows_in_panels(scratch.queries_packed, p.q + query, e.H * e.D, at.queries, kQueriesOfBlock,
                          p.panels);
      pack_rows_in_panels(scratch.dout_packed, p.dy + query, e.H * e.D, at.queries, kQueriesOfBlock,
                          p.panels);
      recompute_weights(p, at, scratch, unit);
      add_key_gradients(scratch.dvalues, scratch.weights, scratch.dout_packed, at, p.panels, scratch, unit);
      add_key_gradients(scratch.dkeys, scratch.dweights, scratch.queries_packed, at, p.panels, scratch, unit);
      add_query_gradients(p, at, scratch, unit);
    }
  }
  store_rounded(p.dk + from, e.G * e.D, scratch.dkeys, at.keys, e, p.width());
  store_rounded(p.dv + from, e.G * e.D, scratch.dvalues, at.keys, e, p.width());
}

// One key/value head of one sequence.
template <typename Unit>
void piece(const BackwardPass& p, std::int64_t b, std::int64_t g, unsigned char* memory) {
  const AttentionExtents& e = p.e;
  const std::int64_t sharing = e.H / e.G;
  const Scratch<Unit> scratch(memory, p);
  Unit unit(scratch.rest());
  for (std::int64_t s = 0; s < e.S; s += kKeysOfBlock) key_block(p, b, g, s, scratch, unit);
  for (std::int64_t h = 0; h < sharing; ++h)
    store_rounded(p.dq + e.query(b, 0, g * sharing + h), e.H * e.D,
                  scratch.dqueries + h * p.padded_queries() * p.width(), e.T, e, p.width());
}

// delta (B, H, T) = dot of dy and y, both (B, T, H, D).
void dot_rows(Threads& threads, float* delta, const std::uint16_t* dy, const std::uint16_t* y,
              const AttentionExtents& e) {
  constexpr std::int64_t kRowGrain = 64;
  threads.run(e.B * e.H * e.T, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = e.query(row / e.T / e.H, row % e.T, row / e.T % e.H);
      Vec total = Vec::zero();
      for (std::int64_t d = 0; d < e.D; d += 16)
        total = fma(Vec{load_wide(dy + at + d, e.D - d)}, Vec{load_wide(y + at + d, e.D - d)}, total);
      delta[row] = sum(total);
    }
  });
}

}  // namespace

template <>
void PairAttention<kUnitBackend>::backward(Context& context, TensorView dq, TensorView dk, TensorView dv,
                                           ConstTensorView dy, ConstTensorView q, ConstTensorView k,
                                           ConstTensorView v, ConstTensorView y, ConstTensorView lse,
                                           float scale, std::int64_t window) {
  with_unit([&]<typename Unit>() {
    const AttentionExtents e(q, k, window);
    Threads& threads = context.threads();
    ArenaScope scratch(context.scratch());
    auto* delta = scratch.tensor(DType::f32, {e.B, e.H, e.T}).data<float>();
    dot_rows(threads, delta, bits(dy), bits(y), e);
    const BackwardPass p{bits(dq),
                         bits(dk),
                         bits(dv),
                         bits(dy),
                         bits(q),
                         bits(k),
                         bits(v),
                         lse.data<float>(),
                         delta,
                         scale,
                         e,
                         Panels(kKeysOfBlock, Unit::kPanelVecs),
                         Panels(e.D, Unit::kPanelVecs)};
    const std::int64_t bytes = (Scratch<Unit>::bytes(p) + 63) / 64 * 64;
    auto* memory = static_cast<unsigned char*>(scratch.tensor(DType::u8, {threads.count(), bytes}).raw());
    threads.run_on_workers(e.B * e.G, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
      for (std::int64_t head = begin; head < end; ++head)
        piece<Unit>(p, head / e.G, head % e.G, memory + worker * bytes);
    });
  });
}

}  // namespace switchyard::kernels
