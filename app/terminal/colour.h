// Whether a stream may be coloured or redrawn, and the few colours used.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace switchyard::app {

enum class Colour { red, yellow, green, bold };

/// Whether `stream` is a terminal that understands cursor movement (TERM is set and not "dumb").
bool is_terminal(std::FILE* stream);

/// is_terminal, and NO_COLOR is unset or empty (no-color.org).
bool use_colour(std::FILE* stream);

/// `text` in the colour if `enabled`, else as it is.
std::string coloured(std::string_view text, Colour colour, bool enabled);

}  // namespace switchyard::app
