// What a text must satisfy before a parser sees it.
#pragma once

#include <optional>
#include <string_view>

#include "app/config/source/mistakes.h"

namespace switchyard::app {

/// The first byte that is not valid UTF-8 or is a control character other than tab and line ends, as a
/// mistake with its place; nothing if the text is clean. yaml-cpp takes byte 04 for the end of the text, so
/// it would cut a file.
std::optional<Mistake> first_bad_byte(std::string_view text);

}  // namespace switchyard::app
