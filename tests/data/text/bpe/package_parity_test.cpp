// Ids and decoded text of more than 100,000 strings equal to the `tokenizers` package's, for each fixture.
// Checksums over blocks of strings stand for its answers; scripts/parity/tokenizers makes them, and shows a
// single string of a block that differs.
#include <gtest/gtest.h>

#include <cstring>

#include "data/text/bpe/bpe_tokenizer.h"
#include "data/text/utf8.h"
#include "tests/data/text/bpe/text_rule.h"

namespace switchyard::data {
namespace {

class PackageParity : public testing::TestWithParam<std::string> {};

std::string little_endian(std::span<const std::int32_t> ids) {
  std::string bytes(ids.size_bytes(), '\0');
  std::memcpy(bytes.data(), ids.data(), ids.size_bytes());
  return bytes + "\xff\xff\xff\xff";
}

TEST_P(PackageParity, OnEveryBlockOfStrings) {
  // No text holds the last byte, so nothing that is decoded is left out as the end of a document.
  const auto tokenizer = BpeTokenizer::read(read_fixture(GetParam() + ".json"), "\xc3\xbf", GetParam());
  const auto stored = nlohmann::json::parse(read_fixture("checksums.json"));
  const auto& sums = stored["tokenizers"][GetParam()];
  const TextRule rule;
  const std::uint64_t block = stored["block"];
  ASSERT_EQ(stored["strings"], rule.size());
  ASSERT_GE(rule.size(), 100'000U);
  std::vector<std::int32_t> ids;
  for (std::uint64_t begin = 0; begin < rule.size(); begin += block) {
    std::uint32_t ids_sum = 0, text_sum = 0;
    for (std::uint64_t index = begin; index < std::min(begin + block, rule.size()); ++index) {
      ids.clear();
      tokenizer->encode(rule.string(index), ids);
      std::uint64_t replaced = 0;
      ids_sum = crc32(little_endian(ids), ids_sum);
      text_sum = crc32(replace_invalid_utf8(tokenizer->decode(ids), replaced) + "\xff", text_sum);
    }
    EXPECT_EQ(ids_sum, sums["ids"][begin / block]) << "ids of strings " << begin << " and on";
    EXPECT_EQ(text_sum, sums["text"][begin / block]) << "decoded text of strings " << begin << " and on";
    ASSERT_FALSE(HasFailure()) << "make_fixtures.py --show " << GetParam()
                               << " INDEX shows what the package makes of one";
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, PackageParity,
                         testing::Values("gpt2", "neox", "llama3", "qwen", "o200k", "deepseek", "flags",
                                         "behaviors"),
                         [](const auto& fixture) { return fixture.param; });

}  // namespace
}  // namespace switchyard::data
