// Strict UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace switchyard::data {

/// Index of the first byte of the first ill-formed sequence; none if all is
/// well-formed.
std::optional<std::size_t> find_invalid_utf8(std::string_view bytes);

/// `bytes` with U+FFFD for each maximal ill-formed part (Unicode 15, 3.9, "U+FFFD substitution of maximal
/// subparts"). Adds the number of replacements to `replaced`.
std::string replace_invalid_utf8(std::string_view bytes, std::uint64_t& replaced);

/// Length of the longest prefix that does not end inside a sequence which its last bytes have begun.
std::size_t whole_characters(std::string_view bytes);

/// The code point that begins at `at`, which moves behind it. `text` is well-formed and `at` begins a
/// character.
char32_t next_code_point(std::string_view text, std::size_t& at);

/// Appends the UTF-8 of a code point below 0x110000 that is no surrogate.
void append_utf8(char32_t code_point, std::string& text);

/// Bytes that arrive in pieces, given out as whole characters; U+FFFD for each maximal ill-formed part, as
/// replace_invalid_utf8 of all the bytes would have it.
class CharacterStream {
 public:
  /// The characters that these bytes complete.
  std::string push(std::string_view bytes);
  /// What is left at the end: nothing or one U+FFFD.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace switchyard::data
