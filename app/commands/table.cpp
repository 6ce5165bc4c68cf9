#include <algorithm>

#include "app/commands/command.h"
#include "app/commands/help.h"
#include "app/commands/schema.h"

namespace switchyard::app {

std::span<const Command> command_table() {
  static constexpr Command table[] = {
      {"schema", "[--markdown]", "print the JSON Schema of configuration files", CommandGroup::program,
       run_schema},
      {"help", "[COMMAND | config [SECTION]]", "explain a command or the configuration's keys",
       CommandGroup::program, run_help},
  };
  return table;
}

const Command* find_command(std::string_view name) {
  const auto all = command_table();
  const auto found = std::ranges::find(all, name, &Command::name);
  return found == all.end() ? nullptr : &*found;
}

}  // namespace switchyard::app
