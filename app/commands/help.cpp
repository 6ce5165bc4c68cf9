#include "app/commands/help.h"

#include <fmt/format.h>

#include "app/command_line/dispatch.h"
#include "app/config/table/describe.h"
#include "app/terminal/result.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

struct GroupTitle {
  CommandGroup group;
  std::string_view title;
};
constexpr GroupTitle kTitles[] = {{CommandGroup::data, "Data"},
                                  {CommandGroup::training, "Training"},
                                  {CommandGroup::model, "Trained models"},
                                  {CommandGroup::looking, "Looking inside"},
                                  {CommandGroup::program, "This program"}};

std::string group_help(const GroupTitle& group) {
  std::string text;
  for (const Command& command : command_table())
    if (command.group == group.group) text += fmt::format("  {:<12}{}\n", command.name, command.summary);
  return text.empty() ? text : fmt::format("\n{}\n{}", group.title, text);
}

}  // namespace

std::string program_help() {
  std::string text =
      "switchyard trains sparse mixture-of-experts language models.\n"
      "\nUsage: switchyard COMMAND [ARGUMENTS]     switchyard COMMAND --help\n";
  for (const GroupTitle& group : kTitles) text += group_help(group);
  return text +
         "\nConfiguration keys: switchyard help config [SECTION]. Version: switchyard --version.\n"
         "Results go to stdout, logs to stderr. Exit codes: 0 done, 2 usage or config, 3 data, 4 "
         "checkpoint,\n"
         "5 disk, 6 numerics, 7 hang, 8 peer lost, 9 device, 70 internal error, 75 stopped, resumable.\n";
}

int run_help(const Arguments& arguments) {
  const bool asks_for_itself = !arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h");
  if (arguments.empty() || asks_for_itself) {
    print_result(program_help());
    return 0;
  }
  const bool config = arguments[0] == "config";
  if (arguments.size() > (config ? 2U : 1U))
    throw UserError(fmt::format("help: takes {}; got {} words",
                                config ? "config and one section" : "one command", arguments.size()));
  if (config) {
    print_result(config_help(arguments.size() > 1 ? arguments[1] : std::string()));
    return 0;
  }
  return known_command(arguments[0]).run({"--help"});
}

}  // namespace switchyard::app
