// An inline function or template that one level's object file defines as a weak symbol may be the copy that
// the linker keeps for the whole program: on a processor without AVX-512 the program would then stop at an
// illegal instruction, far from any kernel. So an object file of a level may define weak symbols only if
// their names carry the level's Backend value, which no other object file has.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/runtime/backend.h"

namespace switchyard::test {
namespace {

std::vector<std::string> lines_of(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  EXPECT_TRUE(pipe) << command;
  std::string text;
  char part[4096];
  while (pipe && std::fgets(part, sizeof part, pipe.get()) != nullptr) text += part;
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void expect_only_tagged_symbols(const std::string& objects, kernels::Backend backend) {
  const std::string tag = "Backend)" + std::to_string(static_cast<int>(backend)) + ">";
  std::istringstream paths(objects);
  int files = 0;
  for (std::string path; std::getline(paths, path, ':'); ++files) {
    int tagged = 0;
    // "0000000000000000 W name": no address means the symbol is only used here.
    for (const std::string& line :
         lines_of(std::string(SWITCHYARD_NM) + " -C --defined-only '" + path + "'")) {
      ASSERT_GT(line.size(), 19U) << line;
      const char type = line[17];
      const std::string name = line.substr(19);
      const bool carries_tag = name.find(tag) != std::string::npos;
      if (type == 'T' && carries_tag) ++tagged;
      if (type == 'W') {  // code; weak data ('V') is the same at every level
        EXPECT_TRUE(carries_tag) << path << ": weak symbol " << name
                                 << "; make it internal (anonymous namespace) or always inline";
      }
    }
    EXPECT_GT(tagged, 0) << path << " defines no op of its level: is this the right file?";
  }
  EXPECT_GT(files, 4);
}

TEST(IsaSymbols, Avx2ObjectsShareNoCodeWithTheRest) {
  expect_only_tagged_symbols(SWITCHYARD_AVX2_OBJECTS, kernels::Backend::avx2);
}

TEST(IsaSymbols, Avx512ObjectsShareNoCodeWithTheRest) {
  expect_only_tagged_symbols(SWITCHYARD_AVX512_OBJECTS, kernels::Backend::avx512);
}

TEST(IsaSymbols, Bf16ObjectsShareNoCodeWithTheRest) {
  expect_only_tagged_symbols(SWITCHYARD_AVX512_BF16_OBJECTS, kernels::Backend::avx512_bf16);
  expect_only_tagged_symbols(SWITCHYARD_AMX_OBJECTS, kernels::Backend::amx);
}

}  // namespace
}  // namespace switchyard::test
