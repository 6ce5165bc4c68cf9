// What forward and backward attention share: sizes of blocks and where the parts of a tensor lie.
#pragma once

#include "kernels/cpu/products/panel.h"
#include "kernels/ops/attention.h"

namespace switchyard::kernels {
namespace {

/// Blocks of keys start at key 0 and are always this long, whoever asks: a query's sums are cut at the same
/// keys whether it is one of many in training or the newest one in decoding. A multiple of every tile.
constexpr std::int64_t kKeysOfBlock = 96;
constexpr std::int64_t kQueriesOfBlock = 48;

struct AttentionExtents {
  AttentionExtents(ConstTensorView q, ConstTensorView k, std::int64_t keys_seen)
      : B(q.dim(0)), T(q.dim(1)), S(k.dim(1)), H(q.dim(2)), G(k.dim(2)), D(q.dim(3)), window(keys_seen) {}

  /// Offset of (b, t, h, 0) in a tensor of queries; rows of a head are H * D apart.
  std::int64_t query(std::int64_t b, std::int64_t t, std::int64_t h) const {
    return ((b * T + t) * H + h) * D;
  }
  /// Offset of (b, s, g, 0) in a tensor of keys; rows of a head are G * D apart.
  std::int64_t key(std::int64_t b, std::int64_t s, std::int64_t g) const { return ((b * S + s) * G + g) * D; }
  /// The last key that query t sees, its own, and the first.
  std::int64_t own_key(std::int64_t t) const { return S - T + t; }
  std::int64_t first_key(std::int64_t t) const {
    const std::int64_t own = own_key(t);
    return window == 0 || own < window ? 0 : own - window + 1;
  }

  std::int64_t B, T, S, H, G, D;
  std::int64_t window;  ///< 0 = no limit
};

/// Packs rows (count <= capacity, D) into panels of D: panel p begins at float panels.begin(p) * capacity.
inline void pack_block(float* packed, const float* source, std::int64_t ld, std::int64_t count,
                       std::int64_t capacity, const Panels& panels) {
  for (std::int64_t p = 0; p < panels.count; ++p)
    pack_rows(packed + panels.begin(p) * capacity, panels.stride(p), source + panels.begin(p), ld, count,
              panels.width(p));
}

/// Packs the transpose (D, count) into panels of kKeysOfBlock columns: panel p begins at begin(p) * D.
inline void pack_block_transposed(float* packed, const float* source, std::int64_t ld, std::int64_t count,
                                  std::int64_t D) {
  const Panels panels(kKeysOfBlock);
  for (std::int64_t p = 0; p < panels.count; ++p) {
    const std::int64_t left = count - panels.begin(p);
    const std::int64_t width = left < 0 ? 0 : left < panels.stride(p) ? left : panels.stride(p);
    pack_transposed(packed + panels.begin(p) * D, panels.stride(p), source + panels.begin(p) * ld, ld, D,
                    width);
  }
}

/// out (rows, kKeysOfBlock) = a (rows, D) * transposed block, for the panels that hold a key below `seen`.
inline void score_tile(float* out, const float* a, std::int64_t lda, std::int64_t rows, const float* packed,
                       std::int64_t D, std::int64_t seen) {
  const Panels panels(kKeysOfBlock);
  for (std::int64_t p = 0; p < panels.count && panels.begin(p) < seen; ++p) {
    const TileCall call{out + panels.begin(p),
                        kKeysOfBlock,
                        panels.stride(p),
                        Start::zero,
                        a,
                        lda,
                        packed + panels.begin(p) * D,
                        panels.stride(p),
                        D,
                        nullptr,
                        {}};
    run_tile<Left::rows>(rows, call);
  }
}

}  // namespace
}  // namespace switchyard::kernels
