// The option table as text for people and editors.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace switchyard::app {

/// Keys, defaults, ranges and meanings of one section ("model.moe"), a screen of at most 40 lines and 100
/// columns. The empty name lists the sections. Throws UserError, with the nearest name, for a section that is
/// not there.
std::string config_help(std::string_view section = {});

/// JSON Schema (draft-07) of a configuration file, for editors. It knows the plain spelling of each value;
/// spellings like 1_000 and rules between keys are checked by the program alone.
nlohmann::ordered_json config_schema();

/// The reference page (Markdown): every key with default, range, unit and meaning. configs/REFERENCE.md is
/// this text.
std::string reference_page();

}  // namespace switchyard::app
