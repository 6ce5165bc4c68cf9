// The tile registers of AMX behind one small interface, in two forms: the instructions, and the same
// arithmetic in plain C++ for processors without them, so that every line around them runs in the tests
// anywhere. Tiles are 16 rows of 64 bytes. Registers 0 to 3 hold sums, 4 and 5 left operands, 6 and 7 right
// ones.
#pragma once

#include <cstdint>
#include <cstring>

namespace switchyard::kernels {
namespace {

constexpr std::int64_t kTileSide = 16;  ///< rows of a tile, and its fp32 or pair columns
constexpr std::int64_t kTileBytes = 16 * 64;

/// A thread has the registers between construction and destruction. Needs amx_is_usable() (runtime/isa.h).
class HardwareTiles {
 public:
  HardwareTiles() {
    struct alignas(64) Configuration {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static_assert(sizeof(Configuration) == 64);
    const Configuration configuration;
    asm volatile("ldtilecfg %0" ::"m"(configuration));
  }
  ~HardwareTiles() { asm volatile("tilerelease"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  template <int kTile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  /// 16 rows of 64 bytes, `stride` bytes apart.
  template <int kTile>
  void load(const void* from, std::int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* to, std::int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  /// sums += left * right, in bf16 pairs.
  template <int kSums, int kLeft, int kRight>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kLeft), "i"(kRight));
  }
};

/// As Intel's manual has it for TDPBF16PS: for each element of the sums the products of the earlier
/// neighbours form a chain of fused multiply-adds from 0, those of the later ones another; both are added,
/// then added to the element. Denormals are taken and left as 0; to the nearest, ties to even.
class EmulatedTiles {
 public:
  EmulatedTiles() = default;
  EmulatedTiles(const EmulatedTiles&) = delete;
  EmulatedTiles& operator=(const EmulatedTiles&) = delete;

  template <int kTile>
  void zero() {
    std::memset(tiles_[kTile], 0, kTileBytes);
  }
  template <int kTile>
  void load(const void* from, std::int64_t stride) {
    for (std::int64_t row = 0; row < kTileSide; ++row)
      std::memcpy(tiles_[kTile][row], static_cast<const char*>(from) + row * stride, 64);
  }
  template <int kTile>
  void store(void* to, std::int64_t stride) {
    for (std::int64_t row = 0; row < kTileSide; ++row)
      std::memcpy(static_cast<char*>(to) + row * stride, tiles_[kTile][row], 64);
  }
  template <int kSums, int kLeft, int kRight>
  void multiply() {
    for (int m = 0; m < kTileSide; ++m) {
      float early[kTileSide] = {};
      float late[kTileSide] = {};
      for (int k = 0; k < kTileSide; ++k) {
        const std::uint32_t left = tiles_[kLeft][m][k];
        for (int n = 0; n < kTileSide; ++n) {
          const std::uint32_t right = tiles_[kRight][k][n];
          early[n] = flushed(__builtin_fmaf(early_of(left), early_of(right), early[n]));
          late[n] = flushed(__builtin_fmaf(late_of(left), late_of(right), late[n]));
        }
      }
      for (int n = 0; n < kTileSide; ++n)
        tiles_[kSums][m][n] =
            bits_of(flushed(flushed(float_of(tiles_[kSums][m][n])) + flushed(early[n] + late[n])));
    }
  }

 private:
  static float float_of(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  static std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }
  static float flushed(float value) {
    return __builtin_fabsf(value) < 0x1p-126F ? __builtin_copysignf(0.0F, value) : value;
  }
  static float early_of(std::uint32_t pair) { return flushed(float_of(pair << 16)); }
  static float late_of(std::uint32_t pair) { return flushed(float_of(pair & 0xffff0000U)); }

  alignas(64) std::uint32_t tiles_[8][kTileSide][kTileSide] = {};
};

}  // namespace
}  // namespace switchyard::kernels
