#include "app/commands/schema.h"

#include "app/command_line/arguments.h"
#include "app/config/table/describe.h"
#include "app/terminal/result.h"

namespace switchyard::app {

int run_schema(const Arguments& arguments) {
  CLI::App command(
      "Print the JSON Schema (draft-07) of configuration files, for completion and checks in editors:\n"
      "  switchyard schema > switchyard.schema.json\n"
      "and as the first line of a configuration:\n"
      "  # yaml-language-server: $schema=switchyard.schema.json",
      "switchyard schema");
  bool markdown = false;
  command.add_flag("--markdown", markdown, "print the reference page (configs/REFERENCE.md) instead");
  if (!parse_arguments(command, arguments)) return 0;
  if (markdown)
    print_result(reference_page());
  else
    print_result(config_schema().dump(2) + "\n");
  return 0;
}

}  // namespace switchyard::app
