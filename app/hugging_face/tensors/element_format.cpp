#include "app/hugging_face/tensors/element_format.h"

#include <bit>
#include <cstring>

#include "kernels/runtime/check.h"
#include "kernels/runtime/dtype.h"

namespace switchyard::app {

namespace {

float from_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t exponent = half >> 10 & 0x1fU;
  const std::uint32_t fraction = half & 0x3ffU;
  if (exponent == 0x1fU) return std::bit_cast<float>(sign | 0x7f800000U | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float size = static_cast<float>(fraction) * 0x1p-24F;  // zero or subnormal: exact in single precision
  return sign != 0 ? -size : size;
}

std::uint16_t to_bf16(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  return (word & 0xffffU) == 0 ? static_cast<std::uint16_t>(word >> 16) : BFloat16(value).bits;
}

template <typename Word>
Word word_at(const void* bytes, std::size_t index) {
  Word word;
  std::memcpy(&word, static_cast<const char*>(bytes) + index * sizeof(Word), sizeof(Word));
  return word;
}

}  // namespace

std::optional<ElementFormat> element_format(std::string_view safetensors_dtype) {
  for (const ElementFormat format : {ElementFormat::f32, ElementFormat::bf16, ElementFormat::f16})
    if (safetensors_name(format) == safetensors_dtype) return format;
  return {};
}

std::string_view safetensors_name(ElementFormat format) {
  constexpr std::string_view names[] = {"F32", "BF16", "F16"};
  return names[static_cast<std::size_t>(format)];
}

std::size_t element_bytes(ElementFormat format) {
  return format == ElementFormat::f32 ? 4 : 2;
}

void to_floats(ElementFormat format, const void* bytes, std::size_t count, float* out) {
  switch (format) {
    case ElementFormat::f32:
      std::memcpy(out, bytes, count * sizeof(float));
      return;
    case ElementFormat::bf16:
      for (std::size_t i = 0; i < count; ++i)
        out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(word_at<std::uint16_t>(bytes, i)) << 16);
      return;
    case ElementFormat::f16:
      for (std::size_t i = 0; i < count; ++i) out[i] = from_half(word_at<std::uint16_t>(bytes, i));
      return;
  }
}

void from_floats(ElementFormat format, const float* values, std::size_t count, void* out) {
  SWITCHYARD_CHECK(format != ElementFormat::f16, "f16 is read, never written");
  if (format == ElementFormat::f32) {
    std::memcpy(out, values, count * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t word = to_bf16(values[i]);
    std::memcpy(static_cast<char*>(out) + 2 * i, &word, 2);
  }
}

}  // namespace switchyard::app
