#include "app/config/source/scalars.h"

#include <gtest/gtest.h>

#include <limits>

namespace switchyard::app {
namespace {

template <typename T>
std::string shown(const Parsed<T>& parsed) {
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return "refused: " + refusal->rule;
  return std::to_string(std::get<T>(parsed));
}

TEST(ParseInteger, TakesEveryDocumentedSpelling) {
  EXPECT_EQ(shown(parse_integer("0")), "0");
  EXPECT_EQ(shown(parse_integer("-0")), "0");
  EXPECT_EQ(shown(parse_integer("+17")), "17");
  EXPECT_EQ(shown(parse_integer("1_000_000")), "1000000");
  EXPECT_EQ(shown(parse_integer("1e3")), "1000");
  EXPECT_EQ(shown(parse_integer("2.5e6")), "2500000");
  EXPECT_EQ(shown(parse_integer("1200e-2")), "12");
  EXPECT_EQ(shown(parse_integer("3.0")), "3");
  EXPECT_EQ(shown(parse_integer("0x1F")), "31");
  EXPECT_EQ(shown(parse_integer("9223372036854775807")), "9223372036854775807");
  EXPECT_EQ(shown(parse_integer("-9223372036854775808")), "-9223372036854775808");
  EXPECT_EQ(shown(parse_integer("9.223372036854775807e18")), "9223372036854775807");
  EXPECT_EQ(shown(parse_integer("0e999999999999999999999")), "0");
}

TEST(ParseInteger, RefusesAllElse) {
  for (const char* text :
       {"",   "-",   "+",    ".",   "e3",  "1e",   "1e+",   "_1",  "1_", "1__0", "1 0",   " 1",  "1 ",
        "0x", "0xg", "0x-1", "one", "1.5", "1e-1", "12e-1", "nan", "1k", "--1",  "1.2.3", "0b1", "1,000"})
    EXPECT_TRUE(shown(parse_integer(text)).starts_with("refused")) << text;
  for (const char* text : {"017", "-017", "00", "0_1", "01e3"})
    EXPECT_EQ(shown(parse_integer(text)), "refused: must not start with 0, which some readers take for octal")
        << text;
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "1e19", "1e400",
                           "1e999999999999999999999", "0x8000000000000000"})
    EXPECT_TRUE(shown(parse_integer(text)).starts_with("refused: must fit in 64 bits")) << text;
}

TEST(ParseInteger, TakesSuffixesOnlyWhereAsked) {
  EXPECT_EQ(shown(parse_integer("512k", true)), "512000");
  EXPECT_EQ(shown(parse_integer("1.5M", true)), "1500000");
  EXPECT_EQ(shown(parse_integer("2G", true)), "2000000000");
  EXPECT_EQ(shown(parse_integer("512k", false)), "refused: takes no suffix");
  EXPECT_EQ(shown(parse_integer("k", true)), "refused: must be a whole number");
  EXPECT_EQ(shown(parse_integer("0.0005k", true)), "refused: must be a whole number");
  EXPECT_TRUE(shown(parse_integer("9999999999999G", true)).starts_with("refused: must fit"));
}

TEST(ParseReal, ReadsTheNearestDouble) {
  const std::pair<const char*, double> cases[] = {
      {"1e-3", 1e-3},
      {"1_000.5", 1000.5},
      {".5", 0.5},
      {"5.", 5.0},
      {"-0.1", -0.1},
      {"3e8", 3e8},
      {"0.95", 0.95},
      {"1E+2", 100},
      {"2.2250738585072014e-308", std::numeric_limits<double>::min()},
      {"1.7976931348623157e308", std::numeric_limits<double>::max()}};
  for (const auto& [text, value] : cases) {
    const auto parsed = parse_real(text);
    ASSERT_TRUE(std::holds_alternative<double>(parsed)) << text;
    EXPECT_EQ(std::get<double>(parsed), value) << text;
  }
}

TEST(ParseReal, RefusesAllElse) {
  for (const char* text : {"", ".", "-", "e5", "1e", "nan", ".nan", "NaN", "inf", "-.inf", "infinity",
                           "0x1p3", "1f", "1e999", "1e-999", "00.5", "1,5", "1 "})
    EXPECT_TRUE(shown(parse_real(text)).starts_with("refused")) << text;
  EXPECT_EQ(shown(parse_real(".inf")), "refused: must be a finite number");
}

TEST(ParseBoolean, TakesTwoWordsOnly) {
  EXPECT_EQ(shown(parse_boolean("true")), "1");
  EXPECT_EQ(shown(parse_boolean("false")), "0");
  const auto hint = [](const char* text) { return std::get<Refusal>(parse_boolean(text)).hint; };
  for (const char* text : {"yes", "on", "y", "1", "True", "TRUE"})
    EXPECT_EQ(hint(text), "did you mean true?") << text;
  for (const char* text : {"no", "off", "n", "0", "False"})
    EXPECT_EQ(hint(text), "did you mean false?") << text;
  EXPECT_EQ(hint("maybe"), "");
}

TEST(ParseDuration, AddsItsParts) {
  EXPECT_EQ(shown(parse_duration("0")), "0");
  EXPECT_EQ(shown(parse_duration("90s")), "90");
  EXPECT_EQ(shown(parse_duration("15m")), "900");
  EXPECT_EQ(shown(parse_duration("2h")), "7200");
  EXPECT_EQ(shown(parse_duration("1d2h3m4s")), "93784");
  for (const char* text : {"", "s", "1", "90", "2w", "1m1h", "1h1h", "1h30", "-1h", "1.5h", "1h 30m", "010s",
                           "9223372036854775807d", "99999999999999999999s"})
    EXPECT_TRUE(shown(parse_duration(text)).starts_with("refused")) << text;
}

}  // namespace
}  // namespace switchyard::app
