#include "app/config/source/text_check.h"

#include <fmt/format.h>

#include "app/terminal/format.h"

namespace switchyard::app {

std::optional<Mistake> first_bad_byte(std::string_view text) {
  Place place{0, 1, 1};
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool line_or_tab = byte == '\n' || byte == '\r' || byte == '\t';
    const std::size_t length = utf8_length(text, at);
    if (length == 0)
      return Mistake{place, "", "the file must be valid UTF-8", fmt::format("byte {:02x}", byte),
                     "save the file as UTF-8"};
    if ((byte < 0x20 && !line_or_tab) || byte == 0x7F)
      return Mistake{place, "", "control characters are not allowed", fmt::format("byte {:02x}", byte),
                     "remove the character"};
    if (byte == '\n') {
      ++place.line;
      place.column = 1;
    } else {
      place.column += static_cast<int>(length);
    }
    at += length;
  }
  return std::nullopt;
}

}  // namespace switchyard::app
