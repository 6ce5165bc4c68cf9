// Canonical composition (Unicode normalisation form C) as the `tokenizers` package does it.
#pragma once

#include <string>
#include <string_view>

namespace switchyard::data {

/// `text` in form C, for well-formed UTF-8. Linear but for the sorting of runs of combining marks. Code
/// points that the package's normaliser does not know (it follows Unicode 9) are left alone, whatever the
/// version of utf8proc.
std::string normalize_nfc(std::string_view text);

/// True if the code point stays as it is and nothing moves past it or joins it, whatever stands beside it.
bool is_nfc_inert(char32_t code_point);

/// True if a text that ends with this code point still ends with it in form C, given that an inert one
/// follows or none.
bool is_nfc_end(char32_t code_point);

}  // namespace switchyard::data
