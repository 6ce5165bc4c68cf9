// Every file under broken/ must be refused exactly as its first lines say: all mistakes, their places and
// keys, and a piece of each message; and refused before anything of the described model is allocated.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <sstream>

#include "app/config/load.h"
#include "app/config/source/mistakes.h"
#include "app/exit_code.h"

namespace {

/// Largest single allocation since it was set to 0.
std::atomic<std::size_t> largest_allocation{0};

}  // namespace

// Not inlined: GCC would see free() called on what operator new gave and take the pair for a mistake.
[[gnu::noinline]] void* operator new(std::size_t size) {
  std::size_t seen = largest_allocation.load();
  while (size > seen && !largest_allocation.compare_exchange_weak(seen, size)) {
  }
  if (void* memory = std::malloc(std::max<std::size_t>(size, 1))) return memory;
  throw std::bad_alloc();
}
// std::stable_sort asks in this way; its memory comes back through the operator delete below.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return std::malloc(std::max<std::size_t>(size, 1));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}

namespace switchyard::app {
namespace {

namespace fs = std::filesystem;

struct Expectation {
  int line = 0;
  int column = 0;
  std::string key;
  std::string fragment;
};

std::vector<fs::path> broken_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(SWITCHYARD_SOURCE_DIR "/tests/app/config/broken"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// Lines "# expect: line:column key fragment" at the head of a file; the key "-" means none.
std::vector<Expectation> expectations(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<Expectation> result;
  constexpr std::string_view kHead = "# expect: ";
  for (std::string line; std::getline(stream, line) && line.starts_with(kHead);) {
    std::istringstream words(line.substr(kHead.size()));
    Expectation expectation;
    char colon = 0;
    words >> expectation.line >> colon >> expectation.column >> expectation.key >> std::ws;
    std::getline(words, expectation.fragment);
    if (expectation.key == "-") expectation.key.clear();
    EXPECT_FALSE(expectation.fragment.empty()) << file;
    result.push_back(expectation);
  }
  return result;
}

class BrokenConfig : public testing::TestWithParam<fs::path> {};

TEST_P(BrokenConfig, IsRefusedAsItSays) {
  const auto expected = expectations(GetParam());
  ASSERT_FALSE(expected.empty()) << "the file must start with '# expect: line:column key fragment'";
  largest_allocation = 0;
  try {
    load_config(GetParam());
    FAIL() << "was accepted";
  } catch (const ConfigError& error) {
    EXPECT_EQ(exit_code(error.kind()), kExitUsage);
    EXPECT_LT(largest_allocation.load(), std::size_t{4} << 20)
        << "the parser allocates no more than a file may hold";
    ASSERT_EQ(error.mistakes().size(), expected.size()) << error.what();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const Mistake& mistake = error.mistakes()[i];
      const std::string line = mistake_line("f", mistake);
      EXPECT_EQ(fmt::format("{}:{}", mistake.place.line, mistake.place.column),
                fmt::format("{}:{}", expected[i].line, expected[i].column))
          << line;
      EXPECT_EQ(mistake.key, expected[i].key) << line;
      EXPECT_NE(line.find(expected[i].fragment), std::string::npos) << line;
      EXPECT_NE(std::string(error.what()).find(mistake_line(GetParam().string(), mistake)), std::string::npos)
          << error.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, BrokenConfig, testing::ValuesIn(broken_files()),
                         [](const auto& parameter) { return parameter.param.stem().string(); });

TEST(BrokenConfigs, AreManyAndEachIsAYamlFile) {
  const auto files = broken_files();
  EXPECT_GE(files.size(), 60U);
  for (const auto& file : files) EXPECT_EQ(file.extension(), ".yaml") << file;
}

}  // namespace
}  // namespace switchyard::app
