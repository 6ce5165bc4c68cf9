// Results of commands: the only way to stdout.
#pragma once

#include <string_view>

namespace switchyard::app {

/// Writes `text` to stdout and hands it on at once. Throws DiskError if it could not be written, so that a
/// full disk behind a redirection never passes for success.
void print_result(std::string_view text);

}  // namespace switchyard::app
