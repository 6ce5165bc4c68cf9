// Text may be cut where Tokenizer::last_cut says, and nowhere does that change a token.
#include <gtest/gtest.h>

#include "data/text/bpe/bpe_tokenizer.h"
#include "tests/data/text/bpe/text_rule.h"

namespace switchyard::data {
namespace {

constexpr const char* kEnd = "\xc3\xbf";  // a token that no text has

std::vector<std::int32_t> encoded(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

class Cuts : public testing::TestWithParam<std::string> {};

// What follows a cut must not matter, so the strings are joined in pairs and seen through windows of all
// kinds.
TEST_P(Cuts, ChangeNoToken) {
  const auto tokenizer = BpeTokenizer::read(read_fixture(GetParam() + ".json"), kEnd, GetParam());
  const TextRule rule;
  std::uint64_t num_cuts = 0;
  for (std::uint64_t index = 0; index < rule.size(); index += 23) {
    const std::string text = rule.string(index) + rule.string((index * 7919 + 1) % rule.size());
    const auto whole = encoded(*tokenizer, text);
    for (std::size_t window = 2; window < text.size(); window += 1 + text.size() / 7) {
      const std::size_t cut = tokenizer->last_cut(std::string_view(text).substr(0, window));
      ASSERT_LE(cut, window);
      if (cut == 0) continue;
      ++num_cuts;
      auto parts = encoded(*tokenizer, std::string_view(text).substr(0, cut));
      const auto rest = encoded(*tokenizer, std::string_view(text).substr(cut));
      parts.insert(parts.end(), rest.begin(), rest.end());
      ASSERT_EQ(parts, whole) << "string " << index << " cut at " << cut << ": "
                              << testing::PrintToString(text);
    }
  }
  // Joining behaviours leave no place that is provably one to cut at.
  if (GetParam() == "behaviors") {
    EXPECT_EQ(num_cuts, 0U);
  } else {
    EXPECT_GT(num_cuts, 4000U);
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, Cuts,
                         testing::Values("gpt2", "neox", "llama3", "qwen", "o200k", "deepseek", "flags",
                                         "behaviors"),
                         [](const auto& fixture) { return fixture.param; });

TEST(CutsOfText, AreFoundInTextOfManyScripts) {
  const std::string texts[] = {
      "The rules of the road, and of words.\n",
      "\xe6\xbc\xa2\xe5\xad\x97\xe3\x81\x8b\xe3\x81\xaa\xe3\x80\x82\xe6\x96\x87\xe5\xad\x97\xe3\x80\x82",
      "\xd0\xa1\xd0\xbb\xd0\xbe\xd0\xb2\xd0\xb0 \xd0\xb8 \xd1\x8f\xd0\xb7\xd1\x8b\xd0\xba\n\n"};
  for (const char* name : {"gpt2", "neox", "llama3", "qwen", "o200k", "deepseek"}) {
    const auto tokenizer = BpeTokenizer::read(read_fixture(std::string(name) + ".json"), kEnd, name);
    for (const std::string& text : texts)
      EXPECT_GT(tokenizer->last_cut(text), text.size() / 2) << name << ": " << text;
  }
}

}  // namespace
}  // namespace switchyard::data
