// The two products that attention is made of, by the matrix instruction of a warp: scores of 16 rows with a
// tile of rows, and weighted sums of a tile's rows. Device code.
//
// Rows of a head lie in shared memory as lines of kHead bf16 (what the head lacks is 0), padded so that no
// two lanes of a load meet in a bank. Fragments are those of multiply_warp: lane l holds rows l / 4 and l / 4
// + 8.
#pragma once

#include <cuda_bf16.h>

#include "kernels/cuda/attention/seen.h"
#include "kernels/cuda/instructions/bf16_words.h"
#include "kernels/cuda/instructions/warp_matrix.h"

namespace switchyard::kernels::cuda {

inline constexpr int kAttentionWarps = 4;
inline constexpr int kAttentionThreads = 32 * kAttentionWarps;
inline constexpr int kOwnRows = 16 * kAttentionWarps;  ///< rows of a block, 16 of each warp

template <int kHead>
struct HeadRows {
  static constexpr int kStride = kHead + 8;
  static constexpr int kSteps = kHead / 16;

  __host__ __device__ static constexpr int elements(int rows) { return rows * kStride; }

  /// Starts copies of rows [first, first + kRows) of a head, those below `end`; `line` elements apart, D
  /// wide.
  template <int kRows>
  __device__ static void bring(__nv_bfloat16* to, const __nv_bfloat16* from, std::int64_t line,
                               std::int32_t first, std::int32_t end, int D) {
    constexpr int kPieces = kHead / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kAttentionThreads) {
      const std::int32_t row = first + i / kPieces;
      const int column = i % kPieces * 8;
      const bool inside = row < end && column < D;
      copy_16_bytes(to + i / kPieces * kStride + column, from + (inside ? row * line + column : 0),
                    inside ? 16 : 0);
    }
  }

  /// scores (16, 8 * kBlocks) = the warp's 16 rows of `own` times the rows of `tile`.
  template <int kBlocks>
  __device__ static void multiply(float (&scores)[kBlocks][4], const __nv_bfloat16* own,
                                  const __nv_bfloat16* tile) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const __nv_bfloat16* left =
        own + (static_cast<int>(threadIdx.x) / 32 * 16 + lane % 16) * kStride + lane / 16 * 8;
    const __nv_bfloat16* right = tile + (lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = 0;
#pragma unroll 2
    for (int step = 0; step < kSteps; ++step) {
      std::uint32_t a[4];
      load_matrices(a, left + 16 * step);
#pragma unroll
      for (int n = 0; n < kBlocks; n += 2) {
        std::uint32_t b[4];
        load_matrices(b, right + 8 * n * kStride + 16 * step);
        multiply_warp(scores[n], a, {b[0], b[1]});
        multiply_warp(scores[n + 1], a, {b[2], b[3]});
      }
    }
  }

  /// sums (16, kHead) += weights (16, 8 * kBlocks), rounded to bf16, times the rows of `tile`.
  template <int kBlocks>
  __device__ static void add(float (&sums)[kHead / 8][4], const float (&weights)[kBlocks][4],
                             const __nv_bfloat16* tile) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const __nv_bfloat16* right = tile + (lane / 8 % 2 * 8 + lane % 8) * kStride + lane / 16 * 8;
#pragma unroll
    for (int step = 0; step < kBlocks / 2; ++step) {
      // What multiply leaves in a lane is what it holds of a left operand.
      const float(&low)[4] = weights[2 * step];
      const float(&high)[4] = weights[2 * step + 1];
      const std::uint32_t a[4] = {bf16_pair(low[0], low[1]), bf16_pair(low[2], low[3]),
                                  bf16_pair(high[0], high[1]), bf16_pair(high[2], high[3])};
#pragma unroll
      for (int n = 0; n < kHead / 8; n += 2) {
        std::uint32_t b[4];
        load_matrices_transposed(b, right + 16 * step * kStride + 8 * n);
        multiply_warp(sums[n], a, {b[0], b[1]});
        multiply_warp(sums[n + 1], a, {b[2], b[3]});
      }
    }
  }

  /// Rows [first, end) of a head = the warps' sums times factor[row / 8 % 2 of the fragment], rounded.
  __device__ static void store(__nv_bfloat16* to, std::int64_t line, std::int32_t first, std::int32_t end,
                               const float (&sums)[kHead / 8][4], const float (&factor)[2], int D) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int32_t row = first + static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4 + 8 * half;
#pragma unroll
      for (int n = 0; n < kHead / 8; ++n) {
        const int column = 8 * n + lane % 4 * 2;
        if (row < end && column < D)
          *reinterpret_cast<std::uint32_t*>(to + row * line + column) =
              bf16_pair(sums[n][2 * half] * factor[half], sums[n][2 * half + 1] * factor[half]);
      }
    }
  }
};

/// The fragment's row: 0 .. kOwnRows - 1.
__device__ inline int fragment_row(int half) {
  return static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4 + 8 * half;
}
/// Column of element i of block n.
__device__ inline int fragment_column(int n, int i) {
  return 8 * n + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
}

/// The queries of a block, and what a lane's two of them see.
struct OwnQueries {
  std::int32_t b, h, first;
  std::int64_t line, key_line;  ///< elements from query to query, from key to key
  std::int64_t queries_at;      ///< of query 0 of the head
  std::int64_t keys_at;         ///< of key 0 of its group
  Range keys;                   ///< that any of the block's queries sees
  Range seen[2];                ///< by the query of fragment_row(half); none behind the last query

  /// The last queries, which see most keys, belong to the first blocks.
  __device__ explicit OwnQueries(const AttentionShape& shape)
      : b(static_cast<std::int32_t>(blockIdx.y) / shape.H),
        h(static_cast<std::int32_t>(blockIdx.y) % shape.H),
        first(static_cast<std::int32_t>(gridDim.x - 1 - blockIdx.x) * kOwnRows),
        line(static_cast<std::int64_t>(shape.H) * shape.D),
        key_line(static_cast<std::int64_t>(shape.G) * shape.D),
        queries_at(at(shape, b, 0, shape.T, h, shape.H)),
        keys_at(at(shape, b, 0, shape.S, h / (shape.H / shape.G), shape.G)),
        keys{keys_of(shape, first).first, keys_of(shape, min(shape.T, first + kOwnRows) - 1).end} {
    for (int half = 0; half < 2; ++half)
      seen[half] = query(half) < shape.T ? keys_of(shape, query(half)) : Range{0, 0};
  }

  __device__ std::int32_t query(int half) const { return first + fragment_row(half); }
};

/// Calls visitor(integral_constant<int, kHead>) for the narrowest head compiled that holds D.
template <typename Visitor>
void with_head(int D, Visitor&& visitor) {
  if (D <= 32) return visitor(std::integral_constant<int, 32>{});
  if (D <= 64) return visitor(std::integral_constant<int, 64>{});
  visitor(std::integral_constant<int, kWarpHead>{});
}

}  // namespace switchyard::kernels::cuda
