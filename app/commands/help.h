#pragma once

#include <string>

#include "app/commands/command.h"

namespace switchyard::app {

/// `switchyard help`, `help COMMAND`, `help config [SECTION]`.
int run_help(const Arguments& arguments);

/// The overview that `switchyard --help` prints: at most 40 lines.
std::string program_help();

}  // namespace switchyard::app
