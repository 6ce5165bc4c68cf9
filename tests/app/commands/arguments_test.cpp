// The shared parts of command lines: CONFIG, --set and log options; CLI11's own exit codes never show.
#include "app/command_line/arguments.h"

#include <gtest/gtest.h>

#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

struct Parsed {
  ConfigArguments config;
  LogOptions log;
};

Parsed parsed(const Arguments& words) {
  CLI::App command("a command", "switchyard train");
  Parsed result;
  add_config_arguments(command, result.config);
  add_log_arguments(command, result.log);
  EXPECT_TRUE(parse_arguments(command, words));
  return result;
}

std::string message(const Arguments& words) {
  try {
    parsed(words);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Arguments, TakeConfigAndOverridesInAnyOrder) {
  const Parsed result =
      parsed({"--set", "a.b=1", "run.yaml", "--set=c.d=[1,2]", "--set", "e.f=", "--log-format", "json"});
  EXPECT_EQ(result.config.file, "run.yaml");
  EXPECT_EQ(result.config.overrides, (std::vector<std::string>{"a.b=1", "c.d=[1,2]", "e.f="}));
  EXPECT_EQ(result.log.format, LogFormat::json);
  EXPECT_EQ(result.log.level, "info");
}

TEST(Arguments, RefuseWithAHint) {
  EXPECT_EQ(message({}), "switchyard train: CONFIG is required; see `switchyard train --help`");
  EXPECT_NE(message({"run.yaml", "--ste", "a=b"}).find("did you mean --set?"), std::string::npos)
      << message({"run.yaml", "--ste", "a=b"});
  EXPECT_NE(message({"run.yaml", "--log-formt=json"}).find("did you mean --log-format?"), std::string::npos);
  EXPECT_NE(message({"run.yaml", "--log-level", "loud"}).find("loud"), std::string::npos);
  EXPECT_NE(message({"run.yaml", "--set"}).find("--set"), std::string::npos);
  EXPECT_NE(message({"run.yaml", "other.yaml"}).find("other.yaml"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::app
