// The spelling of bytes in byte-level vocabularies: printable Latin-1 bytes are themselves, the 68 others, in
// order, are U+0100 and on ("Ġ" is the space, "Ċ" the line end).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace switchyard::data {

/// Code point that spells each byte.
const std::array<char32_t, 256>& byte_letters();

/// The bytes that well-formed `spelling` stands for; none if a character of it spells no byte.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

/// The spelling of these bytes.
std::string spelling_of_bytes(std::string_view bytes);

}  // namespace switchyard::data
