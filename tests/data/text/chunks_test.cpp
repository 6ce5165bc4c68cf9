#include "data/text/chunks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/text/json_line.h"
#include "data/text/tokenizer.h"
#include "data/text/utf8.h"
#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::HasSubstr;

std::size_t bytes_cut(std::string_view bytes) {
  return ByteTokenizer().last_cut(bytes);
}

TEST(TextChunks, GiveBackTheFileInBoundedPieces) {
  const TemporaryFolder folder;
  std::string text;
  while (text.size() < 3 * kChunkBytes)
    text += "a line of text, " + std::to_string(text.size()) + " \xe2\x82\xac\n";
  write_bytes(folder / "a", text);
  const InputFile file(folder / "a");
  TextChunks chunks(file, 5, text.size() - 3, bytes_cut);
  std::string joined;
  std::string chunk;
  while (chunks.next(chunk)) {
    EXPECT_EQ(chunks.offset(), joined.size() + 5);
    EXPECT_LE(chunk.size(), kChunkBytes);
    EXPECT_TRUE(chunks.at_end() || chunk.back() == '\n');
    joined += chunk;
  }
  EXPECT_EQ(joined, text.substr(5, text.size() - 8));
}

TEST(TextChunks, NeverCutACharacter) {
  const TemporaryFolder folder;
  std::string text = "x";
  while (text.size() < 2 * kChunkBytes + 10) text += "\xf0\x9f\x98\x80";  // no line end anywhere
  write_bytes(folder / "a", text);
  const InputFile file(folder / "a");
  TextChunks chunks(file, 0, text.size(), bytes_cut);
  std::string chunk;
  int count = 0;
  for (; chunks.next(chunk); ++count) EXPECT_EQ(find_invalid_utf8(chunk), std::nullopt);
  EXPECT_EQ(count, 3);
}

TEST(LineChunks, NumberLinesThroughChunksOfAnyLength) {
  const TemporaryFolder folder;
  std::string text;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < 400; ++i) {
    lines.push_back(std::to_string(i) + std::string(i == 7 ? 3 * kChunkBytes : i * 37 % 5000, 'x'));
    text += lines.back() + (i == 399 ? "" : "\n");
  }
  write_bytes(folder / "a", text);
  const InputFile file(folder / "a");
  LineChunks chunks(file, 4 * kChunkBytes);
  std::string chunk;
  std::size_t found = 0;
  while (chunks.next(chunk))
    for_each_line(chunk, chunks.first_line(), chunks.offset(), [&](const Line& line) {
      ASSERT_EQ(line.text, lines.at(found));
      EXPECT_EQ(line.number, ++found);
      EXPECT_EQ(text.substr(line.offset, 3),
                lines[found - 1].substr(0, 3) +
                    text.substr(line.offset + std::min<std::size_t>(3, lines[found - 1].size()),
                                3 - std::min<std::size_t>(3, lines[found - 1].size())));
    });
  EXPECT_EQ(found, lines.size());
}

TEST(LineChunks, SkipBlankLinesButCountThem) {
  std::vector<std::uint64_t> numbers;
  for_each_line("\n \t\r\n{}\r\n\nx", 5, 0, [&](const Line& line) { numbers.push_back(line.number); });
  EXPECT_THAT(numbers, testing::ElementsAre(7, 9));
}

TEST(LineChunks, RefuseALineAboveTheLimitByItsNumber) {
  const TemporaryFolder folder;
  for (const std::size_t limit : {std::size_t{100}, kChunkBytes, 2 * kChunkBytes + 17}) {
    for (const bool has_end : {false, true}) {
      std::string chunk;
      write_bytes(folder / "a", "1\n2\n" + std::string(limit, 'x') + (has_end ? "\n4\n" : ""));
      const InputFile fits(folder / "a");
      LineChunks fitting(fits, limit);
      EXPECT_NO_THROW(while (fitting.next(chunk)){}) << limit;
      write_bytes(folder / "b", "1\n2\n" + std::string(limit + 1, 'x') + (has_end ? "\n4\n" : ""));
      const InputFile file(folder / "b");
      LineChunks chunks(file, limit);
      const std::string message = message_of<DataError>([&] {
        while (chunks.next(chunk)) {
        }
      });
      EXPECT_THAT(message, HasSubstr("/b:3)")) << limit;
      EXPECT_THAT(message, HasSubstr(std::to_string(limit)));
    }
  }
}

TEST(JsonLineText, TakesTheStringUnderTheKey) {
  EXPECT_EQ(json_line_text(R"({"id": 1, "text": "a\n\u20ac\ud83d\ude00"})", "text", "f:1"),
            "a\n\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(json_line_text(R"({"body": ""})", "body", "f:1"), "");
}

TEST(JsonLineText, NamesThePlaceOfEveryMistake) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"text\": \"a", "byte 12"},           {"[1]", "array"},
      {"{\"body\": \"a\"}", "got keys: body"}, {"{\"text\": 5}", "number"},
      {"{\"text\": \"a\"} x", "mistake at"},   {R"({"text": "\ud800"})", "mistake at"},
      {"nonsense", "mistake at byte 2"},
  };
  for (const auto& [line, part] : cases) {
    const std::string message = message_of<DataError>([&] { json_line_text(line, "text", "file.jsonl:12"); });
    EXPECT_THAT(message, HasSubstr("file.jsonl:12")) << line;
    EXPECT_THAT(message, HasSubstr(part)) << line;
  }
}

}  // namespace
}  // namespace switchyard::data
