// What a user starts training with after an import.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "app/config/config.h"

namespace switchyard::app {

inline constexpr std::string_view kContinueName = "continue.yaml";

/// A run name made of the last part of a path: letters, digits, '.', '_' and '-'.
std::string run_name(const std::filesystem::path& path);

/// A short configuration: the whole model section, train.init_from, and places to fill in.
std::string continue_yaml(const Config& config, const std::filesystem::path& imported);

}  // namespace switchyard::app
