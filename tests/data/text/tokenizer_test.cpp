#include "data/text/tokenizer.h"

#include <gtest/gtest.h>

#include "kernels/runtime/error.h"

namespace switchyard::data {
namespace {

std::string all_bytes() {
  std::string bytes;
  for (int value = 0; value < 256; ++value) bytes.push_back(static_cast<char>(value));
  return bytes;
}

TEST(ByteTokenizer, TokensAreTheBytes) {
  const ByteTokenizer tokenizer;
  std::vector<std::int32_t> tokens = {7};
  tokenizer.encode(all_bytes(), tokens);
  ASSERT_EQ(tokens.size(), 257U);
  EXPECT_EQ(tokens[0], 7);  // appended, not replaced
  for (std::int32_t value = 0; value < 256; ++value)
    EXPECT_EQ(tokens[static_cast<std::size_t>(value) + 1], value);
}

TEST(ByteTokenizer, DecodesWhatItEncodedAndNoEnds) {
  const ByteTokenizer tokenizer;
  std::vector<std::int32_t> tokens;
  tokenizer.encode(all_bytes(), tokens);
  tokens.insert(tokens.begin() + 100, tokenizer.end_of_document());
  EXPECT_EQ(tokenizer.decode(tokens), all_bytes());
  EXPECT_EQ(tokenizer.vocab_size(), 257);
  EXPECT_EQ(tokenizer.end_of_document(), 256);
}

TEST(ByteTokenizer, RefusesTokensThatAreNotItsOwn) {
  const ByteTokenizer tokenizer;
  for (const std::int32_t token : {-1, 257, 1 << 30}) {
    const std::vector<std::int32_t> tokens = {65, token};
    EXPECT_THROW(tokenizer.decode(tokens), DataError) << token;
  }
}

TEST(Tokenizer, IsRebuiltFromItsJson) {
  const auto tokenizer = make_tokenizer("bytes");
  const auto again = tokenizer_from_json(tokenizer->to_json());
  EXPECT_EQ(again->digest(), tokenizer->digest());
  EXPECT_EQ(again->name(), "bytes");
  // Shards name this digest: if it changes, no shard written before can be read.
  EXPECT_EQ(tokenizer->to_json(), R"({"end_of_document":256,"name":"bytes","vocab_size":257})");
}

TEST(Tokenizer, RefusesNamesAndJsonItDoesNotKnow) {
  EXPECT_THROW(make_tokenizer("byte"), UserError);
  for (const char* json : {"", "[]", "{}", "{\"name\":1}", R"({"name":"bpe"})", R"({"name":"bytes"})",
                           R"({"end_of_document":255,"name":"bytes","vocab_size":257})"})
    EXPECT_THROW(tokenizer_from_json(json), DataError) << json;
}

TEST(ByteTokenizer, CutsAfterLinesAndNeverInsideACharacter) {
  const ByteTokenizer tokenizer;
  EXPECT_EQ(tokenizer.last_cut("one line\nnext"), 9U);
  EXPECT_EQ(tokenizer.last_cut("a\nlong second line"), 18U);  // the line end is too early
  EXPECT_EQ(tokenizer.last_cut("abc\xe2\x82"), 3U);
}

}  // namespace
}  // namespace switchyard::data
