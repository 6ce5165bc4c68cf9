// Tiles of a product by the matrix instruction of a warp, for operands of any size. Device code.
//
// A block of eight warps multiplies 128 x kColumns; a stage holds 32 of the depth of both operands, as they
// lie in memory, padded so that no two lanes of a load meet in a bank. Sums go over the depth in steps of 16,
// from 0 up, whatever the tile.
#pragma once

#include <cuda_bf16.h>

#include "kernels/cuda/instructions/descriptor.h"
#include "kernels/cuda/instructions/warp_matrix.h"

namespace switchyard::kernels::cuda {

inline constexpr int kWarpBlockThreads = 256;
inline constexpr int kWarpTileDepth = 32;
inline constexpr int kWarpStages = 3;
inline constexpr int kWarpPad = 8;  // elements

/// An operand in device memory: lines of `columns` elements, of which `lines` may be read; what lies outside
/// is 0. `wide`: rows start at multiples of 16 bytes.
struct Operand {
  const __nv_bfloat16* data;
  std::int32_t lines;
  std::int32_t columns;
  bool wide;
};

inline bool is_wide_operand(const void* data, std::int64_t columns) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && columns % 8 == 0;
}

/// The stage's part of an operand of kExtent rows (or columns of the product).
template <Line kLine, int kExtent>
struct StagePart {
  static constexpr int kLines = kLine == Line::along_depth ? kExtent : kWarpTileDepth;
  static constexpr int kElements = kLine == Line::along_depth ? kWarpTileDepth : kExtent;
  static constexpr int kStride = kElements + kWarpPad;
  static constexpr int kBytes = kLines * kStride * 2;

  // Brings lines [line, line + kLines), elements [column, column + kElements).
  __device__ static void bring(__nv_bfloat16* to, const Operand& from, std::int32_t line,
                               std::int32_t column) {
    constexpr int kPieces = kElements / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kLines * kPieces; i += kWarpBlockThreads) {
      const std::int32_t l = line + i / kPieces;
      const std::int32_t c = column + i % kPieces * 8;
      __nv_bfloat16* target = to + i / kPieces * kStride + i % kPieces * 8;
      const std::int32_t inside = l < from.lines && c < from.columns ? min(8, from.columns - c) : 0;
      const __nv_bfloat16* source =
          from.data + (inside > 0 ? static_cast<std::int64_t>(l) * from.columns + c : 0);
      if (from.wide) {
        copy_16_bytes(target, source, 2 * inside);
      } else {
        for (int e = 0; e < 8; ++e) target[e] = e < inside ? source[e] : __nv_bfloat16(__nv_bfloat16_raw{0});
      }
    }
  }

  // 16 rows of the left operand from `row` on, depth [k, k + 16).
  __device__ static void left(std::uint32_t (&words)[4], const __nv_bfloat16* part, int row, int k) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (kLine == Line::along_depth) {
      load_matrices(words, part + (row + lane % 16) * kStride + k + lane / 16 * 8);
    } else {
      load_matrices_transposed(words,
                               part + (k + lane / 16 * 8 + lane % 8) * kStride + row + lane / 8 % 2 * 8);
    }
  }
  // 16 columns of the right operand from `column` on: words 0, 1 the first eight, 2, 3 the others.
  __device__ static void right(std::uint32_t (&words)[4], const __nv_bfloat16* part, int column, int k) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (kLine == Line::along_depth) {
      load_matrices(words, part + (column + lane / 16 * 8 + lane % 8) * kStride + k + lane / 8 % 2 * 8);
    } else {
      load_matrices_transposed(words,
                               part + (k + lane / 8 % 2 * 8 + lane % 8) * kStride + column + lane / 16 * 8);
    }
  }
};

template <Line kLeft, Line kRight, int kColumns>
struct WarpTile {
  using Left = StagePart<kLeft, 128>;
  using Right = StagePart<kRight, kColumns>;
  static constexpr int kStageElements = (Left::kBytes + Right::kBytes) / 2;
  static constexpr int kSharedBytes = kWarpStages * kStageElements * 2;
  static constexpr int kWarpColumns = kColumns / 2;  // eight warps: four by two, each 32 x kWarpColumns
  static constexpr int kBlocks = kWarpColumns / 8;

  /// sums[m][n]: rows 16 * m, columns 8 * n of the warp's part (multiply_warp has the lanes); overwritten.
  using Sums = float[2][kBlocks][4];

  /// The warp's first row and column in the tile.
  __device__ static int first_row() { return static_cast<int>(threadIdx.x) / 64 * 32; }
  __device__ static int first_column() { return static_cast<int>(threadIdx.x) / 32 % 2 * kWarpColumns; }

  // Where an operand's stage begins: the depth runs over its columns or over its lines.
  template <Line kLine, typename Part>
  __device__ static void bring(__nv_bfloat16* to, const Operand& operand, std::int32_t at,
                               std::int32_t depth) {
    if constexpr (kLine == Line::along_depth) {
      Part::bring(to, operand, at, depth);
    } else {
      Part::bring(to, operand, depth, at);
    }
  }

  /// All threads of the block. `left_at`, `right_at`: the tile's place across the depth; `begin`: where the
  /// depth begins in the operands, `depth` of which are multiplied (the operands say where they end).
  __device__ static void multiply(Sums& sums, __nv_bfloat16* shared, const Operand& left,
                                  std::int32_t left_at, const Operand& right, std::int32_t right_at,
                                  std::int32_t begin, std::int32_t depth) {
    const std::int32_t steps = (depth + kWarpTileDepth - 1) / kWarpTileDepth;
    const auto bring_stage = [&](std::int32_t step) {
      if (step < steps) {
        __nv_bfloat16* stage = shared + step % kWarpStages * kStageElements;
        bring<kLeft, Left>(stage, left, left_at, begin + step * kWarpTileDepth);
        bring<kRight, Right>(stage + Left::kBytes / 2, right, right_at, begin + step * kWarpTileDepth);
      }
      copies_commit();
    };
#pragma unroll
    for (int i = 0; i < 2 * kBlocks * 4; ++i) sums[i / (4 * kBlocks)][i / 4 % kBlocks][i % 4] = 0;
    __syncthreads();  // the stages of an earlier product have been read
    for (std::int32_t step = 0; step < kWarpStages - 1; ++step) bring_stage(step);
    for (std::int32_t step = 0; step < steps; ++step) {
      copies_wait<kWarpStages - 2>();
      __syncthreads();
      bring_stage(step + kWarpStages - 1);
      multiply_stage(sums, shared + step % kWarpStages * kStageElements);
    }
    copies_wait<0>();
  }

 private:
  __device__ static void multiply_stage(Sums& sums, const __nv_bfloat16* stage) {
#pragma unroll
    for (int k = 0; k < kWarpTileDepth; k += kMultiplyDepth) {
      std::uint32_t a[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) Left::left(a[m], stage, first_row() + 16 * m, k);
#pragma unroll
      for (int n = 0; n < kBlocks; n += 2) {
        std::uint32_t b[4];
        Right::right(b, stage + Left::kBytes / 2, first_column() + 8 * n, k);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t pair[2] = {b[2 * half], b[2 * half + 1]};
#pragma unroll
          for (int m = 0; m < 2; ++m) multiply_warp(sums[m][n + half], a[m], pair);
        }
      }
    }
  }
};

}  // namespace switchyard::kernels::cuda
