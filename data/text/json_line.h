// The text of one line of JSONL.
#pragma once

#include <string>
#include <string_view>

namespace switchyard::data {

/// The string under `key` of the JSON object in `line`. `place` ("file.jsonl:12") goes into messages. Throws
/// DataError where the line is no JSON object or has no string of that name.
std::string json_line_text(std::string_view line, const std::string& key, const std::string& place);

}  // namespace switchyard::data
