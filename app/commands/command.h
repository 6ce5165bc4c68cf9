// A command of the program, and the table of all of them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard::app {

/// The words after the command's name.
using Arguments = std::vector<std::string>;

/// Where `--help` lists a command.
enum class CommandGroup { data, training, model, looking, program };

struct Command {
  std::string_view name;
  std::string_view usage;    ///< what follows the name: "CONFIG [--set k=v]"
  std::string_view summary;  ///< at most 60 characters, no full stop
  CommandGroup group;
  /// Returns an exit code (app/exit_code.h). Results go to stdout. Throws Error for failures; the caller
  /// turns it into a message and a code.
  int (*run)(const Arguments& arguments);
};

/// Every command, in the order of the help. A command enters the program by its line in table.cpp.
std::span<const Command> command_table();
const Command* find_command(std::string_view name);

}  // namespace switchyard::app
