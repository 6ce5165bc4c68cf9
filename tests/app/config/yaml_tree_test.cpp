// Limits on hostile files, at the limit and one beyond it, and the proofs of concept known against yaml-cpp.
#include "app/config/source/yaml_tree.h"

#include <gtest/gtest.h>

#include <chrono>

namespace switchyard::app {
namespace {

/// The first mistake's line, or "" if the text was read without one.
std::string first_mistake(std::string_view text) {
  std::vector<Mistake> mistakes;
  const auto tree = parse_yaml(text, mistakes);
  if (mistakes.empty()) {
    EXPECT_NE(tree, nullptr);
    return "";
  }
  return mistake_line("f", mistakes[0]);
}

std::string repeated(std::string_view piece, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += piece;
  return text;
}

TEST(YamlTree, HoldsTheFileSize) {
  std::string text = "a: b #";
  text.resize(kMostFileBytes, 'x');
  EXPECT_EQ(first_mistake(text), "");
  EXPECT_NE(first_mistake(text + "x").find("at most 1.0 MiB"), std::string::npos);
}

TEST(YamlTree, HoldsTheNumberOfNodes) {
  // One list and its items.
  EXPECT_EQ(first_mistake("[" + repeated("1,", kMostNodes - 1) + "]"), "");
  EXPECT_NE(first_mistake("[" + repeated("1,", kMostNodes) + "]").find("at most 100000 values"),
            std::string::npos);
}

TEST(YamlTree, HoldsTheDepth) {
  EXPECT_EQ(first_mistake(repeated("[", kMostDepth) + repeated("]", kMostDepth)), "");
  EXPECT_NE(
      first_mistake(repeated("[", kMostDepth + 1) + repeated("]", kMostDepth + 1)).find("nested at most 64"),
      std::string::npos);
}

TEST(YamlTree, HoldsWhatAliasesStandFor) {
  // The list named &a holds 99 items, so 100 nodes: a hundred aliases are at the limit.
  const std::string list = "x: &a [" + repeated("1,", 99) + "]\ny: [";
  EXPECT_EQ(first_mistake(list + repeated("*a,", 100) + "]"), "");
  EXPECT_NE(first_mistake(list + repeated("*a,", 101) + "]").find("aliases may stand for at most 10000"),
            std::string::npos);
}

TEST(YamlTree, SharesWhatAnAliasNames) {
  std::vector<Mistake> mistakes;
  const auto tree = parse_yaml("x: &a {k: 1}\ny: *a\n", mistakes);
  ASSERT_TRUE(mistakes.empty());
  ASSERT_EQ(tree->entries.size(), 2U);
  EXPECT_EQ(tree->entries[0].value, tree->entries[1].value);
  EXPECT_EQ(tree->nodes, 9U) << "keys count, and so does the alias, as often as it is visited";
}

TEST(YamlTree, ReadsPlacesBehindAByteOrderMark) {
  std::vector<Mistake> mistakes;
  const auto tree = parse_yaml(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: 2\r\n",
      mistakes);
  ASSERT_TRUE(mistakes.empty());
  EXPECT_EQ(tree->entries[0].place, (Place{0, 1, 1}));
  EXPECT_EQ(tree->entries[1].value->place, (Place{0, 2, 4}));
}

TEST(YamlTree, SurvivesKnownAttacksQuickly) {
  const std::string attacks[] = {repeated("[", 100'000),
                                 repeated("{a: ", 5'000),
                                 repeated("- ", 50'000),
                                 "[[:",
                                 "{!\xdb:",
                                 "!2",
                                 "? ? ? ?",
                                 repeated("? ", 50'000),
                                 repeated("&a ", 1000),
                                 "%TAG ! tag:example.com,2000:\n--- !x y",
                                 "a: |\n" + repeated(" \n", 100'000),
                                 "\"" + repeated("\\x41", 100'000) + "\"",
                                 repeated("a: b\n", 200'000),
                                 std::string("a: b\0c", 6),
                                 "\xFF\xFE"
                                 "a\0:\0 \0b\0"};
  for (const auto& attack : attacks) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<Mistake> mistakes;
    parse_yaml(attack, mistakes);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(seconds.count(), 10) << attack.substr(0, 20);
  }
}

TEST(YamlTree, RefusesWhatYamlCppWouldCutOff) {
  EXPECT_NE(first_mistake(std::string("a: b\n\x04"
                                      "c: d\n"))
                .find("f:2:1: control characters"),
            std::string::npos);
  EXPECT_NE(first_mistake(std::string("a: b\n\0c: d\n", 11)).find("f:2:1: control characters"),
            std::string::npos);
}

}  // namespace
}  // namespace switchyard::app
