#include "data/text/utf8.h"

#include <gtest/gtest.h>

namespace switchyard::data {
namespace {

/// Another way to the same answer: decode to a code point, encode that again and compare.
std::size_t oracle_length(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  std::size_t length = 0;
  std::uint32_t code = 0;
  if (lead < 0x80) return 1;
  if ((lead >> 5) == 6) length = 2, code = lead & 0x1fU;
  if ((lead >> 4) == 14) length = 3, code = lead & 0x0fU;
  if ((lead >> 3) == 30) length = 4, code = lead & 0x07U;
  if (length == 0 || bytes.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) >> 6) != 2) return 0;
    code = code << 6 | (byte(i) & 0x3fU);
  }
  const std::uint32_t shortest = length == 2 ? 0x80U : length == 3 ? 0x800U : 0x10000U;
  const bool is_surrogate = code >= 0xd800U && code <= 0xdfffU;
  return code >= shortest && code <= 0x10ffffU && !is_surrogate ? length : 0;
}

TEST(Utf8, AgreesWithDecodingOnEveryFirstThreeBytes) {
  std::string bytes(4, '\0');
  for (int a = 0x80; a < 256; ++a)
    for (int b = 0; b < 256; ++b)
      for (const int c : {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff})
        for (const int d : {0x41, 0x80, 0xbf, 0xc2}) {
          bytes = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c), static_cast<char>(d)};
          const std::size_t length = oracle_length(bytes);
          const auto found = find_invalid_utf8(bytes);
          if (length == 0) {
            ASSERT_EQ(found, 0U) << a << ' ' << b << ' ' << c << ' ' << d;
          } else {
            ASSERT_NE(found, 0U) << a << ' ' << b << ' ' << c << ' ' << d;
          }
        }
}

TEST(Utf8, NamesTheFirstWrongByteWhereverItLies) {
  for (std::size_t at = 0; at < 40; ++at) {
    std::string bytes = std::string(at, 'x') + "\xff" + std::string(11, 'y');
    EXPECT_EQ(find_invalid_utf8(bytes), at);
    bytes = std::string(at, 'x') + "\xe2\x82\xac";
    EXPECT_EQ(find_invalid_utf8(bytes), std::nullopt);
    bytes.pop_back();
    EXPECT_EQ(find_invalid_utf8(bytes), at) << "cut short";
  }
}

TEST(Utf8, ReplacesEachMaximalPart) {
  // The example of Unicode 15, table 3-11.
  std::uint64_t replaced = 0;
  EXPECT_EQ(replace_invalid_utf8("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", replaced),
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
            "A");
  EXPECT_EQ(replaced, 4U);
  // Table 3-8: overlong forms are replaced byte for byte.
  replaced = 0;
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", replaced).size(), 8 * 3 + 1U);
  EXPECT_EQ(replaced, 8U);
}

TEST(Utf8, ReplacingKeepsWhatIsWellFormed) {
  std::uint64_t replaced = 0;
  const std::string text = "plain ASCII text, \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 and more plain ASCII text";
  EXPECT_EQ(replace_invalid_utf8(text, replaced), text);
  EXPECT_EQ(replaced, 0U);
}

TEST(Utf8, CutsBeforeABegunCharacter) {
  EXPECT_EQ(whole_characters("abc"), 3U);
  EXPECT_EQ(whole_characters(""), 0U);
  EXPECT_EQ(whole_characters("a\xe2\x82\xac"), 4U);
  EXPECT_EQ(whole_characters("a\xe2\x82"), 1U);
  EXPECT_EQ(whole_characters("a\xe2"), 1U);
  EXPECT_EQ(whole_characters("a\xf0\x9f\x98"), 1U);
  EXPECT_EQ(whole_characters("a\x80\x80\x80\x80"), 5U) << "nothing begun: nothing to keep together";
}

TEST(CharacterStream, GivesWholeCharactersAndInTheEndTheWholeText) {
  const std::string texts[] = {"", "plain", "na\xc3\xafve \xe6\xbc\xa2 \xf0\x9f\x98\x80", "\xf0\x9f\x98",
                               "a\xff\xe0\x80\xc3(\xf4\x90\x80\x80\xed\xa0\x80z"};
  for (const std::string& text : texts) {
    std::uint64_t replaced = 0;
    const std::string wanted = replace_invalid_utf8(text, replaced);
    for (std::size_t step = 1; step <= 5; ++step) {
      CharacterStream stream;
      std::string given;
      for (std::size_t at = 0; at < text.size(); at += step) {
        const std::string part = stream.push(text.substr(at, step));
        EXPECT_EQ(find_invalid_utf8(part), std::nullopt);
        given += part;
      }
      given += stream.finish();
      EXPECT_EQ(given, wanted) << step;
      EXPECT_EQ(stream.finish(), "");
    }
  }
  CharacterStream stream;
  EXPECT_EQ(stream.push("a\xe6\xbc"), "a");  // not held back longer than needed, nor given too early
  EXPECT_EQ(stream.push("\xa2"), "\xe6\xbc\xa2");
}

TEST(CodePoints, AreReadAndWrittenInAllLengths) {
  std::string text;
  const char32_t code_points[] = {0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff};
  for (const char32_t code_point : code_points) append_utf8(code_point, text);
  EXPECT_EQ(find_invalid_utf8(text), std::nullopt);
  std::size_t at = 0;
  for (const char32_t code_point : code_points) EXPECT_EQ(next_code_point(text, at), code_point);
  EXPECT_EQ(at, text.size());
}

}  // namespace
}  // namespace switchyard::data
