// What a misspelt or misplaced key was probably meant to be.
#pragma once

#include <string>
#include <string_view>

namespace switchyard::app {

struct Suggestion {
  std::string rule;  ///< why the key is refused
  std::string hint;  ///< "did you mean ...?"; empty without a good guess
  std::string path;  ///< full path of the key that was probably meant; empty if unknown or a section
};

/// For a key that no option has. `section` is where it stood ("" at the top level or from --set).
Suggestion suggest_key(std::string_view path, std::string_view section);

}  // namespace switchyard::app
