// Parsing of one command's words with CLI11, and the options that several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "app/commands/command.h"
#include "app/config/config.h"
#include "app/terminal/log.h"

namespace switchyard::app {

/// Parses `arguments` into what `command` is bound to. Returns false if help was asked for and printed (the
/// command is then done). Throws UserError, with the nearest option for a misspelt one, instead of CLI11's
/// own exit codes.
bool parse_arguments(CLI::App& command, const Arguments& arguments);

/// CONFIG and --set of the commands that read a configuration.
struct ConfigArguments {
  std::filesystem::path file;
  std::vector<std::string> overrides;
};
void add_config_arguments(CLI::App& command, ConfigArguments& arguments);
/// Loads what was named. Throws as load_config does.
Config load_config(const ConfigArguments& arguments);

/// --log-level and --log-format.
void add_log_arguments(CLI::App& command, LogOptions& options);

}  // namespace switchyard::app
