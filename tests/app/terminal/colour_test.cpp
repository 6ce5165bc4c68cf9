#include "app/terminal/colour.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <memory>

namespace switchyard::app {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// The terminal side of a pseudo-terminal; the other side is returned in `control`.
File pseudo_terminal(File& control) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return nullptr;
  control.reset(fdopen(master, "r+"));
  return File(std::fopen(ptsname(master), "r+"));
}

TEST(Colour, OnlyOnATerminalThatWantsIt) {
  File control;
  const File terminal = pseudo_terminal(control);
  ASSERT_NE(terminal, nullptr);
  setenv("TERM", "xterm", 1);
  unsetenv("NO_COLOR");
  EXPECT_TRUE(is_terminal(terminal.get()));
  EXPECT_TRUE(use_colour(terminal.get()));

  setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(use_colour(terminal.get()));
  EXPECT_TRUE(is_terminal(terminal.get())) << "a bar without colour is still wanted";
  setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(use_colour(terminal.get())) << "an empty NO_COLOR counts as unset";
  unsetenv("NO_COLOR");

  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(is_terminal(terminal.get()));
  unsetenv("TERM");
  EXPECT_FALSE(is_terminal(terminal.get()));
  setenv("TERM", "xterm", 1);
  const File file(std::tmpfile());
  EXPECT_FALSE(is_terminal(file.get()));
}

TEST(Colour, WrapsTextOnlyIfEnabled) {
  EXPECT_EQ(coloured("x", Colour::red, true), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(coloured("x", Colour::red, false), "x");
}

}  // namespace
}  // namespace switchyard::app
