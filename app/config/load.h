// From a YAML file and --set overrides to a Config, or to all mistakes at once.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "app/config/config.h"

namespace switchyard::app {

/// Reads and checks a configuration; everything is checked before anything is allocated for it.
/// `overrides` are "section.key=value"; a later one wins over an earlier one and over the file. Returns a
/// resolved Config (see resolve). Throws ConfigError with every mistake, or UserError if the file cannot be
/// read.
Config load_config(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});

/// The same from text; `source` names it in messages.
Config parse_config(std::string_view text, const std::string& source,
                    const std::vector<std::string>& overrides = {});

}  // namespace switchyard::app
