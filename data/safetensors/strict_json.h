// JSON from strangers: as nlohmann-json reads it, less what it lets pass.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace switchyard::data {

/// Parses one document. Throws DataError, beginning with `place`, on invalid JSON or UTF-8, a duplicate key,
/// a NUL byte (the parser would take it for the end), bytes after the document, or nesting deeper than
/// `max_depth`.
nlohmann::json parse_strict_json(std::string_view text, int max_depth, std::string_view place);

/// Throws DataError if the bytes hold a NUL: to be called before any other use of the parser on foreign
/// bytes.
void refuse_nul(std::string_view text, std::string_view place);

}  // namespace switchyard::data
