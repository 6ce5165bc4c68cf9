// Elements as the files of other programs hold them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace switchyard::app {

enum class ElementFormat : std::uint8_t { f32, bf16, f16 };

/// By the name of the safetensors format ("F32", "BF16", "F16"); empty for any other.
std::optional<ElementFormat> element_format(std::string_view safetensors_dtype);
std::string_view safetensors_name(ElementFormat format);
std::size_t element_bytes(ElementFormat format);

/// `count` elements of `format` at `bytes` as f32: exact for every value.
void to_floats(ElementFormat format, const void* bytes, std::size_t count, float* out);
/// f32 as `count` elements of f32 or bf16 (nearest, ties to even; what has a bf16's bits keeps them, NaN
/// too).
void from_floats(ElementFormat format, const float* values, std::size_t count, void* out);

}  // namespace switchyard::app
