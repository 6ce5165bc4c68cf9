// Element types of tensors.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace switchyard {

enum class DType : std::uint8_t { f32, bf16, f64, i32, i64, u8, u16, u32, u64 };

/// Upper half of an IEEE single. Conversion rounds to nearest even; NaN stays NaN.
struct BFloat16 {
  std::uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fffffffU) > 0x7f800000U) {
      bits = static_cast<std::uint16_t>((word >> 16) | 0x0040U);
    } else {
      bits = static_cast<std::uint16_t>((word + 0x7fffU + ((word >> 16) & 1U)) >> 16);
    }
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

constexpr std::size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return 1;
    case DType::bf16:
    case DType::u16:
      return 2;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::f64:
    case DType::i64:
    case DType::u64:
      return 8;
  }
  return 0;
}

/// dtype_size for sums of traffic, which are kept in double.
constexpr double element_bytes(DType dtype) {
  return static_cast<double>(dtype_size(dtype));
}

constexpr std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u8:
      return "u8";
    case DType::u16:
      return "u16";
    case DType::u32:
      return "u32";
    case DType::u64:
      return "u64";
  }
  return "?";
}

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType kValue = DType::f32;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType kValue = DType::bf16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType kValue = DType::f64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType kValue = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType kValue = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType kValue = DType::u8;
};
template <>
struct DTypeOf<std::uint16_t> {
  static constexpr DType kValue = DType::u16;
};
template <>
struct DTypeOf<std::uint32_t> {
  static constexpr DType kValue = DType::u32;
};
template <>
struct DTypeOf<std::uint64_t> {
  static constexpr DType kValue = DType::u64;
};

}  // namespace switchyard
