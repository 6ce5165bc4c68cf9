// Where a folder may be made.
#pragma once

#include <filesystem>
#include <string_view>

namespace switchyard::app {

/// Throws UserError if `output` exists, unless `replace` and it is a folder with the file `mark`, which every
/// folder of that kind has: nothing else is ever replaced.
void check_output(const std::filesystem::path& output, bool replace, std::string_view mark);

}  // namespace switchyard::app
