// From the text of one value to a number, strictly. YAML's own reading of numbers (octal 017, nan, silent
// overflow) is not used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace switchyard::app {

/// Why a text is not the wanted value: the rule it breaks ("must be a whole number") and what to write
/// instead (may be empty).
struct Refusal {
  std::string rule;
  std::string hint;
};

template <typename T>
using Parsed = std::variant<T, Refusal>;

/// A whole number: decimal, single underscores between digits, hexadecimal with 0x, or with a fraction and an
/// exponent that leave it whole ("1e3", "2.5e6"). With `suffixes` also k, M, G (10^3, 10^6, 10^9). Refused: a
/// leading zero, anything beyond 64 bits.
Parsed<std::int64_t> parse_integer(std::string_view text, bool suffixes = false);

/// A finite number in decimal notation; underscores between digits. Refused: nan, inf, hexadecimal, a leading
/// zero before digits, numbers that a double can only hold as 0 or infinity.
Parsed<double> parse_real(std::string_view text);

/// `true` or `false`, nothing else.
Parsed<bool> parse_boolean(std::string_view text);

/// Seconds from "90s", "15m", "2h", "1d" or several of them, largest first ("1h30m"). "0" needs no unit.
Parsed<std::int64_t> parse_duration(std::string_view text);

}  // namespace switchyard::app
