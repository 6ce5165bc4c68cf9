#include "data/text/bpe/pattern/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/text/bpe/unicode/nfc.h"
#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::HasSubstr;
using Pieces = std::vector<std::pair<std::string, bool>>;

Pattern pattern(const std::string& text) {
  return Pattern(parse_pattern(text, "p"), "p");
}

Pieces pieces(const std::string& expression, std::string_view text) {
  const Pattern compiled = pattern(expression);
  PatternScratch scratch;
  Pieces found;
  compiled.split(text, scratch,
                 [&](std::string_view piece, bool is_match) { found.emplace_back(piece, is_match); });
  return found;
}

TEST(Pattern, MatchesLeftmostFirstAndGivesTheRestBetween) {
  EXPECT_EQ(pieces("ab|abc|[0-9]+", "xabc12y"),
            (Pieces{{"x", false}, {"ab", true}, {"c", false}, {"12", true}, {"y", false}}));
  EXPECT_EQ(pieces("\xc3\xa9+", "a\xc3\xa9\xc3\xa9\xe6\xbc\xa2"),
            (Pieces{{"a", false}, {"\xc3\xa9\xc3\xa9", true}, {"\xe6\xbc\xa2", false}}));
}

TEST(Pattern, ReadsRepetitionsAsOnigurumaDoes) {
  EXPECT_EQ(pieces("a{1,2}+b", "aaaab"),
            (Pieces{{"aaaab", true}}));  // not possessive: times {1,2}, again and again
  EXPECT_EQ(pieces("a++b|a", "aab"), (Pieces{{"aab", true}}));
  EXPECT_EQ(pieces("a++ab|a", "aab"), (Pieces{{"a", true}, {"a", true}, {"b", false}}));
  EXPECT_EQ(pieces("a+?b?", "aab"), (Pieces{{"a", true}, {"ab", true}}));
  EXPECT_EQ(pieces("a{2}|b{2,}", "aaabbb"), (Pieces{{"aa", true}, {"a", false}, {"bbb", true}}));
}

TEST(Pattern, KnowsCaseOnlyWhereAsked) {
  EXPECT_EQ(pieces("(?i:k)", "kK\xe2\x84\xaa"), (Pieces{{"k", true}, {"K", true}, {"\xe2\x84\xaa", true}}));
  EXPECT_EQ(pieces("k", "kK"), (Pieces{{"k", true}, {"K", false}}));
}

TEST(Pattern, RefusesWhatHasNoPlainMeaning) {
  for (const char* text :
       {"",         "a*",     "a|",      "(",       ")",       "a)",      "(a",         "[",
        "[]",       "[]a]",   "[a",      "[[a]]",   "[a&&b]",  "[b-a]",   "[a-\\d]",    "[a-b-c]",
        "^a",       "a$",     "\\w",     "\\b",     "\\1",     "\\x41",   "\\p{Greek}", "\\p{L",
        "\\pL",     "*a",     "a**",     "a{2}?",   "a{,2}",   "a{3,2}",  "a{5000}",    "a{0}b",
        "{",        "a}",     "(?<n>a)", "(?<=a)b", "(?#c)a",  "(?m:a.)", "(?i:ss)",    "(?i:\xc3\xa9)",
        "(?i:[a])", "(a*)+b", "(?=a)",   "\\u12",   "\\ud800", "\\",      "a\xff"})
    EXPECT_THROW(pattern(text), DataError) << text;
  EXPECT_THAT(message_of<DataError>([] { pattern("ab\\w"); }), HasSubstr("p: unsupported"));
  EXPECT_THROW(pattern(std::string(40, '(') + "a" + std::string(40, ')')), DataError);
  EXPECT_THROW(pattern(std::string(5000, 'a')), DataError);
}

TEST(Pattern, GivesUpOnAnExponentialSearchInsteadOfHanging) {
  const std::string hostile = "(?:a|a|aa)+b|(?:aa|a|a?a)+c";
  EXPECT_THAT(message_of<DataError>([&] { pieces(hostile, std::string(200, 'a')); }), HasSubstr("too long"));
}

TEST(Pattern, MatchesAMegabyteInOnePiece) {
  const std::string words(1U << 20U, 'a'), blanks(1U << 20U, ' ');
  const std::string gpt2 = R"(\s*[\r\n]+| ?\p{L}+| ?[^\s\p{L}]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(pieces(gpt2, words), (Pieces{{words, true}}));
  EXPECT_EQ(pieces(gpt2, blanks), (Pieces{{blanks, true}}));
  EXPECT_EQ(pieces(gpt2, blanks + "x"), (Pieces{{blanks.substr(1), true}, {" x", true}}));
}

TEST(Pattern, KnowsWhichNeighboursItNeverReadsTogether) {
  const Pattern gpt2 = pattern(R"('s| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
  const std::pair<const char*, bool> neighbours[] = {
      {"a ", true},   {"a1", true},  {"a\n", true}, {"a.", true},  {" a", false},
      {"\na", false}, {"  ", false}, {"ab", false}, {"'s", false}, {".,", false}};
  for (const auto& [text, is_apart] : neighbours)
    EXPECT_EQ(gpt2.never_joins(static_cast<unsigned char>(text[0]), static_cast<unsigned char>(text[1])),
              is_apart)
        << testing::PrintToString(text);
  for (const char32_t c : {U'a', U' ', U'1', U'\n', U'\'', char32_t{0x6f22}})
    EXPECT_TRUE(gpt2.always_matches(c));
  const Pattern partial = pattern("x(?=y)|a++b?|c?+c|de");
  for (const char32_t c : {U'x', U'c', U'd', U'z'}) EXPECT_FALSE(partial.always_matches(c)) << static_cast<int>(c);
  EXPECT_TRUE(partial.always_matches(U'a'));
  EXPECT_FALSE(partial.never_joins(U'x', U'y'));  // what is looked at is read
}

TEST(Nfc, JoinsDividesAndOrders) {
  const std::pair<const char*, const char*> texts[] = {
      {"plain", "plain"},
      {"e\xcc\x81t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
      {"a\xcc\x81\xcc\xa7", "\xc3\xa1\xcc\xa7"},                 // marks change places, then join
      {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"},  // Hangul
      {"\xe2\x84\xab", "\xc3\x85"},                              // ANGSTROM SIGN
      {"\xcd\x84", "\xcc\x88\xcc\x81"},                          // has no form of its own
      {"a\xdf\xbd\xcc\xb4", "a\xdf\xbd\xcc\xb4"},                // U+07FD came after Unicode 9
      {"\xf0\x91\xa4\xb5\xf0\x91\xa4\xb0", "\xf0\x91\xa4\xb5\xf0\x91\xa4\xb0"},  // U+11935 U+11930 too
  };
  for (const auto& [text, wanted] : texts) EXPECT_EQ(normalize_nfc(text), wanted) << text;
}

TEST(Nfc, SortsAMegabyteOfMarks) {
  std::string text = "a";
  for (int pair = 0; pair < 1 << 18; ++pair) text += "\xcc\x95\xcc\x96";  // classes 232 and 220
  const std::string sorted = normalize_nfc(text);
  EXPECT_EQ(sorted.size(), text.size());
  EXPECT_EQ(sorted.substr(1, 4), "\xcc\x96\xcc\x96");
  EXPECT_TRUE(sorted.ends_with("\xcc\x95\xcc\x95"));
}

}  // namespace
}  // namespace switchyard::data
