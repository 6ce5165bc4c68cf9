#include "app/terminal/colour.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace switchyard::app {

bool is_terminal(std::FILE* stream) {
  if (isatty(fileno(stream)) == 0) return false;
  const char* term = std::getenv("TERM");
  return term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

bool use_colour(std::FILE* stream) {
  const char* refused = std::getenv("NO_COLOR");
  return (refused == nullptr || *refused == '\0') && is_terminal(stream);
}

std::string coloured(std::string_view text, Colour colour, bool enabled) {
  if (!enabled) return std::string(text);
  const int code = colour == Colour::red      ? 31
                   : colour == Colour::green  ? 32
                   : colour == Colour::yellow ? 33
                                              : 1;
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace switchyard::app
