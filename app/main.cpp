// The program: the first word names a command (app/commands/table.cpp), app/command_line runs it.
#include "app/command_line/dispatch.h"

int main(int argc, char** argv) {
  std::vector<std::string> words(argv, argv + argc);
  if (!words.empty()) words.erase(words.begin());  // the program's own name
  return switchyard::app::run_program(words);
}
