// The built program as a user meets it: what goes to which stream, with which exit code.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "app/commands/command.h"
#include "kernels/runtime/isa.h"

namespace switchyard::app {
namespace {

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

std::string take_file(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  std::filesystem::remove(file);
  return text.str();
}

Outcome run(const std::string& words, const std::string& redirect = "") {
  const auto stem =
      std::filesystem::temp_directory_path() / ("switchyard_program_test_" + std::to_string(getpid()));
  const std::string out = stem.string() + ".out";
  const std::string err = stem.string() + ".err";
  const std::string target = redirect.empty() ? "'" + out + "'" : redirect;
  const int status =
      std::system(("'" SWITCHYARD_PROGRAM "' " + words + " > " + target + " 2> '" + err + "'").c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, take_file(out), take_file(err)};
}

void expect_screen(const std::string& text) {
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 40) << text;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 110U) << line;
}

TEST(Program, HelpIsOneScreenAndListsEveryCommand) {
  for (const char* words : {"--help", "-h", "help", "help --help"}) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.err, "");
    expect_screen(outcome.out);
    for (const Command& command : command_table())
      EXPECT_NE(outcome.out.find("  " + std::string(command.name) + " "), std::string::npos) << command.name;
  }
}

TEST(Program, EveryCommandHasHelpOfOneScreen) {
  for (const Command& command : command_table()) {
    EXPECT_LE(command.summary.size(), 60U);
    for (const std::string& words :
         {std::string(command.name) + " --help", "help " + std::string(command.name)}) {
      const Outcome outcome = run(words);
      EXPECT_EQ(outcome.exit_code, 0) << words;
      EXPECT_FALSE(outcome.out.empty()) << words;
      EXPECT_EQ(outcome.err, "") << words;
      expect_screen(outcome.out);
    }
  }
}

TEST(Program, VersionNamesWhatItWasBuiltWith) {
  const Outcome outcome = run("--version");
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* part : {"switchyard 0.", "\ncommit ", "\ncompiler ", "\nMPI ", "\nHDF5 ", "\nCUDA "})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << outcome.out;
  const std::string level(kernels::isa_name(kernels::chosen_isa()));
  EXPECT_NE(outcome.out.find("\nprocessor " + level + "\n"), std::string::npos) << outcome.out;
}

TEST(Program, SchemaIsJsonOnStdout) {
  const Outcome outcome = run("schema");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["title"], "Switchyard configuration");
}

TEST(Program, RefusesWithCodeTwoAndNothingOnStdout) {
  const std::pair<const char*, const char*> cases[] = {{"shcema", "did you mean schema?"},
                                                       {"--vresion", "there is no command --vresion"},
                                                       {"schema --markdwn", "did you mean --markdown?"},
                                                       {"schema extra", "extra"},
                                                       {"help config optimiser", "did you mean optimizer?"},
                                                       {"help shcema", "did you mean schema?"},
                                                       {"help config run model", "one section"},
                                                       {"''", "there is no command"}};
  for (const auto& [words, expected] : cases) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.exit_code, 2) << words;
    EXPECT_EQ(outcome.out, "") << words;
    EXPECT_NE(outcome.err.find(expected), std::string::npos) << words << "\n" << outcome.err;
    EXPECT_NE(outcome.err.find("What to do: "), std::string::npos) << words;
    EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos) << "no colour in a file";
  }
}

TEST(Program, WithoutWordsShowsHelpOnStderr) {
  const Outcome outcome = run("");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.out, "");
  expect_screen(outcome.err);
}

TEST(Program, NoticesThatItsResultWasLost) {
  const Outcome outcome = run("schema", "/dev/full");
  EXPECT_EQ(outcome.exit_code, 5);
  EXPECT_NE(outcome.err.find("stdout"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace switchyard::app
