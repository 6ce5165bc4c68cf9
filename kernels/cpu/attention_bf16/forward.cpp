// Forward attention in bf16. A piece is a strip of queries of one head, walking over blocks of keys as in
// kernels/cpu/attention_forward.cpp.
//
// A strip multiplies its weights with a whole block of values: weights of keys that a query does not see are
// 0 and change no bit of its sums. Only where a block holds a value that is not finite do rows go one by one,
// each with a copy of the block in which what it does not see is 0.
#include "kernels/cpu/attention_bf16/attention.h"
#include "kernels/cpu/attention_bf16/blocks.h"
#include "kernels/cpu/attention_softmax.h"

namespace switchyard::kernels {

namespace {

// Keys and values of all blocks of one (b, g), packed, and whether the values are finite.
struct PackedKeys {
  PackedKeys(const AttentionExtents& e, const Panels& keys, const Panels& panels)
      : blocks((e.S + kKeysOfBlock - 1) / kKeysOfBlock),
        keys_words(packed_words(e.D, keys)),
        values_words(packed_words(kKeysOfBlock, panels)) {}

  std::int64_t block_words() const { return keys_words + values_words; }
  std::uint32_t* keys(std::int64_t head, std::int64_t block) const {
    return words + (head * blocks + block) * block_words();
  }
  std::uint32_t* values(std::int64_t head, std::int64_t block) const {
    return keys(head, block) + keys_words;
  }
  bool& finite(std::int64_t head, std::int64_t block) const { return is_finite[head * blocks + block]; }

  std::int64_t blocks, keys_words, values_words;
  std::uint32_t* words = nullptr;
  bool* is_finite = nullptr;
};

struct ForwardPass {
  std::uint16_t* y;
  float* lse;
  const std::uint16_t* q;
  const std::uint16_t* v;
  float scale;
  AttentionExtents e;
  Panels keys;    ///< of the keys of a block
  Panels panels;  ///< of D
  PackedKeys packed;
};

// Rows of sums that a unit may write when it is given one.
constexpr std::int64_t kRowsOfOne = 16;

// One thread's scratch.
template <typename Unit>
class Scratch {
 public:
  static std::int64_t bytes(const ForwardPass& f) {
    const Scratch measured(Parts(0), f);
    return static_cast<std::int64_t>(measured.end_) +
           Unit::scratch_bytes(f.e.D > kKeysOfBlock ? f.e.D : kKeysOfBlock);
  }
  Scratch(unsigned char* memory, const ForwardPass& f)
      : Scratch(Parts(reinterpret_cast<std::uintptr_t>(memory)), f) {}
  void* rest() const { return reinterpret_cast<void*>(end_); }

  float* scores;           // (kStripRows, kKeysOfBlock)
  float* out;              // (kStripRows, D padded)
  float* row;              // (kRowsOfOne, D padded)
  std::uint32_t* values;   // a block of values of which a row sees only some
  std::uint16_t* weights;  // (kStripRows, kKeysOfBlock)

 private:
  Scratch(Parts parts, const ForwardPass& f)
      : scores(parts.next<float>(Unit::kStripRows * kKeysOfBlock)),
        out(parts.next<float>(Unit::kStripRows * f.panels.padded_columns())),
        row(parts.next<float>(kRowsOfOne * f.panels.padded_columns())),
        values(parts.next<std::uint32_t>(f.packed.values_words)),
        weights(parts.next<std::uint16_t>(Unit::kStripRows * kKeysOfBlock)),
        end_(parts.end()) {}

  std::uintptr_t end_;
};

// weights (kKeysOfBlock) = those of the range, rounded; zeros elsewhere.
void round_weights(std::uint16_t* weights, const float* exact, KeyRange range) {
  for (std::int64_t c = 0; c < kKeysOfBlock; c += 16) {
    const __mmask32 behind = range.end > c ? first_elements(at_most(range.end - c, 16)) : 0;
    const __mmask32 before = range.begin > c ? first_elements(at_most(range.begin - c, 16)) : 0;
    const auto present = static_cast<__mmask16>(behind & ~before);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(weights + c),
                        round_to_bf16(_mm512_maskz_loadu_ps(present, exact + c)));
  }
}

// One row against a block of values that are not all finite.
template <typename Unit>
void add_seen_values(const ForwardPass& f, const Scratch<Unit>& scratch, Unit& unit, std::int64_t m,
                     std::int64_t head, std::int64_t begin, KeyRange range) {
  if (range.empty()) return;
  const AttentionExtents& e = f.e;
  const std::uint16_t* values = f.v + e.key(head / e.G, begin, head % e.G);
  // As packed for all, with zeros instead of what is not seen: pairs keep their places.
  for (std::int64_t p = 0; p < f.panels.count; ++p) {
    const std::int64_t stride = f.panels.stride(p);
    std::uint32_t* panel = scratch.values + f.panels.begin(p) * padded_depth(kKeysOfBlock) / 2;
    for (std::int64_t key = 0; key < kKeysOfBlock; key += 2)
      for (std::int64_t c = 0; c < stride; ++c) {
        const auto bits_of = [&](std::int64_t at) {
          const bool seen = at >= range.begin && at < range.end && c < f.panels.width(p);
          return seen ? std::uint32_t{values[at * e.G * e.D + f.panels.begin(p) + c]} : 0U;
        };
        panel[key / 2 * stride + c] = bits_of(key) | bits_of(key + 1) << 16;
      }
  }
  // In memory of its own: the unit may add to the rows behind it, too.
  const std::int64_t width = f.panels.padded_columns();
  float* out = scratch.out + m * width;
  for (std::int64_t d = 0; d < width; d += Vec::kWidth) Vec::load(out + d).store(scratch.row + d);
  add_weighted(unit, scratch.row, scratch.weights + m * kKeysOfBlock, kKeysOfBlock, 1, scratch.values,
               kKeysOfBlock, kKeysOfBlock, f.panels, true);
  for (std::int64_t d = 0; d < width; d += Vec::kWidth) Vec::load(scratch.row + d).store(out + d);
}

// Queries [t, t + rows) of head h of sequence b.
template <typename Unit>
void forward_strip(const ForwardPass& f, const Scratch<Unit>& scratch, Unit& unit, std::int64_t b,
                   std::int64_t h, std::int64_t t, std::int64_t rows) {
  const AttentionExtents& e = f.e;
  const std::int64_t width = f.panels.padded_columns();
  const std::int64_t head = b * e.G + h / (e.H / e.G);
  const std::int64_t end = e.own_key(t + rows - 1) + 1;  // of the keys that any row sees
  Row state[Unit::kStripRows];
  KeyRange seen[Unit::kStripRows];
  for (std::int64_t i = 0; i < rows * width; i += Vec::kWidth) Vec::zero().store(scratch.out + i);
  for (std::int64_t block = e.first_key(t) / kKeysOfBlock; block * kKeysOfBlock < end; ++block) {
    const std::int64_t begin = block * kKeysOfBlock;
    score_rows(unit, scratch.scores, f.q + e.query(b, t, h), e.H * e.D, rows, f.packed.keys(head, block), e.D,
               end - begin, f.keys);
    for (std::int64_t m = 0; m < rows; ++m) {
      const std::int64_t first = e.first_key(t + m);
      float* scores = scratch.scores + m * kKeysOfBlock;
      seen[m] = {within_block(first - begin), within_block(e.own_key(t + m) + 1 - begin)};
      if (!seen[m].empty())
        softmax_block(scores, seen[m], f.scale, first >= begin, state[m], scratch.out + m * width, width);
      round_weights(scratch.weights + m * kKeysOfBlock, scores, seen[m]);
    }
    if (f.packed.finite(head, block)) {
      const std::int64_t whole = (end - begin + Unit::kDepthUnit - 1) / Unit::kDepthUnit * Unit::kDepthUnit;
      add_weighted(unit, scratch.out, scratch.weights, kKeysOfBlock, rows, f.packed.values(head, block),
                   at_most(whole, kKeysOfBlock), kKeysOfBlock, f.panels, true);
    } else {
      for (std::int64_t m = 0; m < rows; ++m) add_seen_values(f, scratch, unit, m, head, begin, seen[m]);
    }
  }
  for (std::int64_t m = 0; m < rows; ++m) {
    const Vec share = Vec::broadcast(1.0F / state[m].total);
    const Output y{f.y + e.query(b, t + m, h), 0, true, false, nullptr};
    for (std::int64_t d = 0; d < e.D; d += 16)
      y.store((Vec::load(scratch.out + m * width + d) * share).v, 0, d, e.D - d);
    f.lse[(b * e.H + h) * e.T + t + m] = state[m].largest + __builtin_logf(state[m].total);
  }
}

bool all_finite(const std::uint16_t* rows, std::int64_t ld, std::int64_t count, std::int64_t D) {
  const __m512i exponent = _mm512_set1_epi16(0x7f80);
  __mmask32 bad = 0;
  for (std::int64_t row = 0; row < count; ++row)
    for (std::int64_t d = 0; d < D; d += 32) {
      const __m512i values = _mm512_maskz_loadu_epi16(first_elements(D - d), rows + row * ld + d);
      bad |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(values, exponent), exponent);
    }
  return bad == 0;
}

void pack_keys(Threads& threads, const ForwardPass& f, const std::uint16_t* k) {
  const AttentionExtents& e = f.e;
  threads.run(e.B * e.G * f.packed.blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t head = index / f.packed.blocks;
      const std::int64_t block = index % f.packed.blocks;
      const std::int64_t key = block * kKeysOfBlock;
      const std::int64_t count = at_most(e.S - key, kKeysOfBlock);
      const std::int64_t from = e.key(head / e.G, key, head % e.G);
      pack_keys_in_panels(f.packed.keys(head, block), k + from, e.G * e.D, count, e.D, f.keys);
      pack_rows_in_panels(f.packed.values(head, block), f.v + from, e.G * e.D, count, kKeysOfBlock, f.panels);
      f.packed.finite(head, block) = all_finite(f.v + from, e.G * e.D, count, e.D);
    }
  });
}

template <typename Unit>
void forward_pass(Context& context, const ForwardPass& f) {
  const AttentionExtents& e = f.e;
  Threads& threads = context.threads();
  ArenaScope scratch(context.scratch());
  const std::int64_t bytes = (Scratch<Unit>::bytes(f) + 63) / 64 * 64;
  auto* memory = static_cast<unsigned char*>(scratch.tensor(DType::u8, {threads.count(), bytes}).raw());
  const std::int64_t query_blocks = (e.T + kQueriesOfBlock - 1) / kQueriesOfBlock;
  threads.run_on_workers(e.B * e.H * query_blocks, 1, [&](int worker, std::int64_t begin, std::int64_t end) {
    const Scratch<Unit> own(memory + worker * bytes, f);
    Unit unit(own.rest());
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t b = index / query_blocks / e.H;
      const std::int64_t h = index / query_blocks % e.H;
      const std::int64_t t = index % query_blocks * kQueriesOfBlock;
      const std::int64_t stop = at_most(t + kQueriesOfBlock, e.T);
      for (std::int64_t m = t; m < stop; m += Unit::kStripRows)
        forward_strip(f, own, unit, b, h, m, at_most(stop - m, Unit::kStripRows));
    }
  });
}

}  // namespace

template <>
void PairAttention<kUnitBackend>::forward(Context& context, TensorView y, TensorView lse, ConstTensorView q,
                                          ConstTensorView k, ConstTensorView v, float scale,
                                          std::int64_t window) {
  with_unit([&]<typename Unit>() {
    const AttentionExtents e(q, k, window);
    const Panels keys(kKeysOfBlock, Unit::kPanelVecs);
    const Panels panels(e.D, Unit::kPanelVecs);
    ForwardPass f{bits(y), lse.data<float>(), bits(q), bits(v), scale, e, keys, panels, {e, keys, panels}};
    ArenaScope scratch(context.scratch());
    const std::int64_t blocks = e.B * e.G * f.packed.blocks;
    f.packed.words = scratch.tensor(DType::u32, {blocks, f.packed.block_words()}).data<std::uint32_t>();
    f.packed.is_finite = static_cast<bool*>(scratch.tensor(DType::u8, {blocks}).raw());
    pack_keys(context.threads(), f, bits(k));
    forward_pass<Unit>(context, f);
  });
}

}  // namespace switchyard::kernels
