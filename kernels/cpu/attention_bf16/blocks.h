// What forward and backward attention in bf16 share.
#pragma once

#include "kernels/cpu/attention_blocks.h"
#include "kernels/cpu/products/bf16/unit.h"

namespace switchyard::kernels {
namespace {

inline const std::uint16_t* bits(ConstTensorView tensor) {
  return static_cast<const std::uint16_t*>(tensor.raw());
}
inline std::uint16_t* bits(TensorView tensor) {
  return static_cast<std::uint16_t*>(tensor.raw());
}

/// Cuts one piece of memory into parts that begin at multiples of 64 bytes. The same walk over a memory that
/// begins at 0 tells how much it takes.
class Parts {
 public:
  explicit Parts(std::uintptr_t memory) : next_(memory) {}
  template <typename T>
  T* next(std::int64_t count) {
    auto* part = reinterpret_cast<T*>(next_);
    next_ += (static_cast<std::uintptr_t>(count) * sizeof(T) + 63) / 64 * 64;
    return part;
  }
  std::uintptr_t end() const { return next_; }

 private:
  std::uintptr_t next_;
};

/// Words of `depth` x `columns` packed pairs in panels; panel p begins at panels.begin(p) * its pair rows.
inline std::int64_t packed_words(std::int64_t depth, const Panels& panels) {
  return padded_depth(depth) / 2 * panels.padded_columns();
}

/// Packs rows (count, D), `ld` apart, as pairs of rows in panels of D. Rows behind count are zero.
inline void pack_rows_in_panels(std::uint32_t* packed, const std::uint16_t* source, std::int64_t ld,
                                std::int64_t count, std::int64_t capacity, const Panels& panels) {
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const std::int64_t stride = panels.stride(p);
    std::uint32_t* panel = packed + panels.begin(p) * padded_depth(capacity) / 2;
    pack_pairs_of_rows(panel, stride, source + panels.begin(p), ld, count, panels.width(p));
    for (std::int64_t i = padded_depth(count) / 2 * stride; i < padded_depth(capacity) / 2 * stride; i += 16)
      _mm512_storeu_si512(panel + i, _mm512_setzero_si512());
  }
}

/// Packs keys (count, D), `ld` apart, as the columns of panels of kKeysOfBlock.
inline void pack_keys_in_panels(std::uint32_t* packed, const std::uint16_t* source, std::int64_t ld,
                                std::int64_t count, std::int64_t D, const Panels& keys) {
  for (std::int64_t p = 0; p < keys.count; ++p) {
    const std::int64_t left = count - keys.begin(p);
    pack_pairs_transposed(packed + keys.begin(p) * padded_depth(D) / 2, keys.stride(p),
                          source + keys.begin(p) * ld, ld, D, left < 0 ? 0 : at_most(left, keys.stride(p)));
  }
}

/// scores (rows, kKeysOfBlock) = a (rows, D) * packed keys, for the panels that hold a key below `seen`.
template <typename Unit>
void score_rows(Unit& unit, float* scores, const std::uint16_t* a, std::int64_t lda, std::int64_t rows,
                const std::uint32_t* packed, std::int64_t D, std::int64_t seen, const Panels& keys) {
  for (std::int64_t p = 0; p < keys.count && keys.begin(p) < seen; ++p) {
    const std::int64_t stride = keys.stride(p);
    unit.rows(rows, {a,
                     lda,
                     packed + keys.begin(p) * padded_depth(D) / 2,
                     stride,
                     D,
                     stride,
                     scores + keys.begin(p),
                     kKeysOfBlock,
                     false,
                     false,
                     {}});
  }
}

/// sums (rows, D padded) = [sums +] weights (rows, depth), `ld` apart, * panels of D packed for `capacity`.
template <typename Unit>
void add_weighted(Unit& unit, float* sums, const std::uint16_t* weights, std::int64_t ld, std::int64_t rows,
                  const std::uint32_t* packed, std::int64_t depth, std::int64_t capacity,
                  const Panels& panels, bool continues) {
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const std::int64_t stride = panels.stride(p);
    unit.rows(rows, {weights,
                     ld,
                     packed + panels.begin(p) * padded_depth(capacity) / 2,
                     stride,
                     depth,
                     stride,
                     sums + panels.begin(p),
                     panels.padded_columns(),
                     continues,
                     false,
                     {}});
  }
}

}  // namespace
}  // namespace switchyard::kernels
