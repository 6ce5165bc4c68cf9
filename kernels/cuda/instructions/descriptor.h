// The 64-bit words by which the warpgroup matrix instruction finds an operand in shared memory (PTX ISA,
// "Matrix Descriptor Format" of wgmma). Plain arithmetic: the same on host and device.
//
// Operands here are made of chunks of 64 bf16 (128 bytes) a line, eight lines an atom of 1024 bytes, in the
// 128-byte swizzle: the copy engine writes it, the matrix instruction reads it, both by address bits, so that
// atoms start at multiples of 1024.
#pragma once

#include <cstdint>

namespace switchyard::kernels::cuda {

inline constexpr int kChunkElements = 64;  ///< bf16 in a line of 128 bytes
inline constexpr int kLineBytes = 128;
inline constexpr int kAtomBytes = 1024;
inline constexpr int kMultiplyDepth = 16;  ///< reduction of one instruction, in bf16

/// How a line lies in the product: along the reduction (a row of activations, a row of weight (out, in) in
/// the forward product) or across it (dy and x in the weight's gradient).
enum class Line : std::uint8_t { along_depth, across_depth };

/// Address with the 128-byte swizzle: 16-byte pieces of a line change places by the number of the line.
constexpr std::uint32_t swizzled(std::uint32_t address) {
  return address ^ ((address >> 3) & 0x70U);
}

/// `address` is that of the operand's first chunk in shared memory; step = 0 .. 3 chooses 16 of the 64
/// elements of the reduction that a stage holds; `chunk_bytes` is from one chunk of 64 columns to the next
/// (across_depth only, where an operand is wider than a line).
template <Line kLine>
constexpr std::uint64_t matrix_descriptor(std::uint32_t address, int step, std::uint32_t chunk_bytes) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  const auto offset = static_cast<std::uint32_t>(step * kMultiplyDepth) *
                      (kLine == Line::along_depth ? 2U : static_cast<std::uint32_t>(kLineBytes));
  const std::uint64_t start = ((address + offset) & 0x3ffffU) >> 4;
  const std::uint64_t leading = kLine == Line::along_depth ? 1 : chunk_bytes >> 4;
  const std::uint64_t stride = kAtomBytes >> 4;  // from eight lines to the next eight
  return kSwizzle128 | (stride << 32) | (leading << 16) | start;
}

}  // namespace switchyard::kernels::cuda
