// From the words of the command line to a command, and from an exception to one block on stderr and an exit
// code.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands/command.h"

namespace switchyard::app {

/// Runs the program with the words after its name. Never throws. Returns the exit code of app/exit_code.h.
int run_program(const std::vector<std::string>& words) noexcept;

/// The command of that name. Throws UserError with the nearest name.
const Command& known_command(std::string_view name);

/// The block for a failure: what failed (with the exit code), where and why, what to do. `command` may be
/// empty.
struct Failure {
  int exit_code;
  std::string text;
};
Failure describe_failure(const std::exception_ptr& error, std::string_view command);

/// The text of --version.
std::string version_text();

}  // namespace switchyard::app
