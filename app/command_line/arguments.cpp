#include "app/command_line/arguments.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/config/load.h"
#include "app/terminal/format.h"
#include "app/terminal/result.h"
#include "app/terminal/suggest.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

/// The option nearest to the first word that looks like an option but is none of this command's.
std::string option_hint(const CLI::App& command, const Arguments& arguments) {
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  for (const std::string& word : arguments) {
    if (!word.starts_with("--")) continue;
    const std::string name = word.substr(0, word.find('='));
    if (std::ranges::find(known, name) != known.end()) continue;
    if (const auto nearest = nearest_name(name, known)) return fmt::format("did you mean {}?", *nearest);
  }
  return fmt::format("see `{} --help`", command.get_name());
}

}  // namespace

bool parse_arguments(CLI::App& command, const Arguments& arguments) {
  // CLI11 takes the words last first.
  std::vector<std::string> words(arguments.rbegin(), arguments.rend());
  try {
    command.parse(words);
    return true;
  } catch (const CLI::CallForHelp&) {
    print_result(command.help());
    return false;
  } catch (const CLI::ParseError& error) {
    throw UserError(fmt::format("{}: {}; {}", command.get_name(), printable(error.what(), 300),
                                option_hint(command, arguments)));
  }
}

void add_config_arguments(CLI::App& command, ConfigArguments& arguments) {
  command.add_option("CONFIG", arguments.file, "configuration file (YAML); keys: switchyard help config")
      ->required();
  command.add_option("--set", arguments.overrides, "section.key=value, overrides the file; may be repeated")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
}

Config load_config(const ConfigArguments& arguments) {
  return load_config(arguments.file, arguments.overrides);
}

void add_log_arguments(CLI::App& command, LogOptions& options) {
  command.add_option("--log-level", options.level, "least level of lines on stderr")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->type_name("LEVEL");
  const auto set_format = [&options](const std::string& word) {
    options.format = word == "json" ? LogFormat::json : LogFormat::text;
  };
  command.add_option_function<std::string>("--log-format", set_format, "for the lines on stderr")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT");
}

}  // namespace switchyard::app
