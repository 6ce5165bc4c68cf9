// tokenizer.json from strangers: whatever is done to a good one, it is refused as bad data or makes a
// tokenizer that keeps its contract, at a bounded price.
#include <gtest/gtest.h>

#include <array>
#include <ctime>

#include "data/text/bpe/bpe_tokenizer.h"
#include "kernels/runtime/error.h"
#include "tests/data/text/bpe/text_rule.h"
#include "tests/support/hostile/allocation_meter.h"
#include "tests/support/hostile/mutator.h"

namespace switchyard::data {
namespace {

constexpr const char* kEnd = "<|endoftext|>";
constexpr int kTrials = 2000;
constexpr std::int64_t kMostBytes = std::int64_t{64} << 20;
constexpr double kMostSeconds = 1;

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Mostly not in the vocabulary, which is by far the largest part.
std::string damaged(const std::string& text, test::Mutator& mutator) {
  auto document = nlohmann::json::parse(text);
  auto* part = &document;
  constexpr std::array kParts = {"added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"};
  if (const std::size_t way = mutator.draw(kParts.size() + 1); way < kParts.size())
    part = &document[kParts[way]];
  for (std::size_t changes = 1 + mutator.draw(2); changes > 0; --changes) mutator.damage_json(*part);
  return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::int32_t> encoded(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

/// What the interface promises of every tokenizer.
void expect_sound(const Tokenizer& tokenizer, const std::string& text) {
  const auto tokens = encoded(tokenizer, text);
  for (const std::int32_t token : tokens) {
    ASSERT_GE(token, 0);
    ASSERT_LT(token, tokenizer.vocab_size());
  }
  const std::string decoded = tokenizer.decode(tokens);
  const std::size_t cut = tokenizer.last_cut(text);
  ASSERT_LE(cut, text.size());
  auto pieces = encoded(tokenizer, std::string_view(text).substr(0, cut));
  for (const std::int32_t token : encoded(tokenizer, std::string_view(text).substr(cut)))
    pieces.push_back(token);
  ASSERT_EQ(pieces, tokens) << "cut at " << cut;
  const auto again = tokenizer_from_json(tokenizer.to_json());
  ASSERT_EQ(again->digest(), tokenizer.digest());
  ASSERT_EQ(encoded(*again, text), tokens);
  ASSERT_EQ(again->decode(tokens), decoded);
}

TEST(TokenizerMutation, EveryFileOfDamagedPartsIsRefusedOrSound) {
  std::vector<std::string> good;
  for (const char* name : {"gpt2", "neox", "llama3", "qwen", "o200k", "deepseek", "flags", "behaviors"})
    good.push_back(read_fixture(std::string(name) + ".json"));
  const TextRule texts;
  int taken = 0, refused = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    test::Mutator mutator(static_cast<std::uint64_t>(trial));
    const std::string json = damaged(good[static_cast<std::size_t>(trial) % good.size()], mutator);
    const std::string text =
        "So <|endoftext|> it's 12345\n\n  \xe4\xbd\xa0 \xff" + texts.string(mutator.draw(texts.size()));
    const double start = thread_seconds();
    const test::AllocationMeter meter;
    try {
      const auto tokenizer = BpeTokenizer::read(json, kEnd, "t.json");
      expect_sound(*tokenizer, text);
      ++taken;
    } catch (const DataError& error) {
      ASSERT_NE(std::string(error.what()).find("t.json"), std::string::npos) << error.what();
      ++refused;
    }  // any other exception fails the test
    if (testing::Test::HasFatalFailure()) FAIL() << "trial " << trial;
    ASSERT_LT(meter.peak_bytes(), kMostBytes) << "trial " << trial;
    ASSERT_LT(thread_seconds() - start, kMostSeconds) << "trial " << trial;
  }
  EXPECT_GT(taken, kTrials / 50);
  EXPECT_GT(refused, kTrials / 4);
}

TEST(TokenizerMutation, AFarOffIdMakesNoLargeTable) {
  auto document = nlohmann::json::parse(read_fixture("gpt2.json"));
  const test::AllocationMeter meter;
  document["model"]["vocab"]["far"] = kMaxTokenId - 1;
  EXPECT_THROW(BpeTokenizer::read(document.dump(), kEnd, "t.json"), DataError);
  document["model"]["vocab"]["far"] = 1 << 18;
  EXPECT_NO_THROW(BpeTokenizer::read(document.dump(), kEnd, "t.json"));
  EXPECT_LT(meter.peak_bytes(), kMostBytes);
}

}  // namespace
}  // namespace switchyard::data
