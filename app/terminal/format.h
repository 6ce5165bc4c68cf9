// Numbers as people read them. Pure functions, the same on every machine (no locale).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace switchyard::app {

/// Bytes with a binary unit and at most three digits before the point: "0 B", "1023 B", "1.5 KiB", "64.0
/// MiB". Negative values keep their sign.
std::string format_bytes(std::int64_t bytes);

/// A count with a decimal suffix and three significant digits: "999", "1.00k", "12.3M", "4.56G". Works for
/// rates as well; a value that is not finite gives "-".
std::string format_count(double count);

/// A length of time with its two largest units: "0s", "0.25s", "59s", "1m 05s", "2h 03m", "3d 04h". Below ten
/// seconds two digits follow the point. Not finite or negative gives "-".
std::string format_duration(double seconds);

/// A length of time as a configuration spells it, exact: 0 gives "0", 5400 gives "1h30m".
std::string duration_text(std::int64_t seconds);

/// Length of the valid UTF-8 sequence that starts at `text[at]`, or 0. Overlong forms and surrogates are not
/// valid.
std::size_t utf8_length(std::string_view text, std::size_t at);

/// `text` fit for one line of a message: control characters as \xNN, invalid UTF-8 as '?', at most `limit`
/// bytes (then "..." follows). Text from a stranger's file can therefore not steer a terminal.
std::string printable(std::string_view text, std::size_t limit = 60);

}  // namespace switchyard::app
