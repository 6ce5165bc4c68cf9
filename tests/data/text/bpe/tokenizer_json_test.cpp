// What a tokenizer.json must not say, and that every refusal names its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "data/text/bpe/bpe_tokenizer.h"
#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"
#include "tests/data/text/bpe/text_rule.h"

namespace switchyard::data {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kEnd = "<|endoftext|>";

std::unique_ptr<BpeTokenizer> read(const json& document) {
  return BpeTokenizer::read(document.dump(), kEnd, "t.json");
}

json fixture(const std::string& name) {
  return json::parse(read_fixture(name + ".json"));
}

std::vector<std::int32_t> encoded(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokens;
}

struct Refusal {
  const char* pointer;
  json value;
  const char* path;
};

TEST(TokenizerJson, RefusesByPathWhatWouldChangeIds) {
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", "\\w+"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const json good = fixture("neox");
  const std::vector<Refusal> refusals = {
      {"/version", "2.0", "t.json.version"},
      {"/novelty", true, "novelty"},
      {"/truncation", json::object(), "t.json.truncation"},
      {"/padding", json::object(), "t.json.padding"},
      {"/normalizer", {{"type", "NFKC"}}, "t.json.normalizer.type"},
      {"/normalizer",
       {{"type", "Sequence"}, {"normalizers", {{{"type", "Lowercase"}}}}},
       "normalizers[0].type"},
      {"/pre_tokenizer", nullptr, "t.json.pre_tokenizer"},
      {"/pre_tokenizer/type", "Metaspace", "t.json.pre_tokenizer.type"},
      {"/pre_tokenizer/add_prefix_space", 1, "t.json.pre_tokenizer.add_prefix_space"},
      {"/pre_tokenizer/new_flag", 1, "new_flag"},
      {"/pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", {good["pre_tokenizer"], split}}},
       "pretokenizers[1]"},
      {"/pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", {split, good["pre_tokenizer"]}}},
       "pattern.Regex"},
      {"/decoder", nullptr, "t.json.decoder"},
      {"/decoder/type", "Metaspace", "t.json.decoder"},
      {"/post_processor", {{"type", "BertProcessing"}}, "t.json.post_processor.type"},
      {"/model/type", "Unigram", "t.json.model.type"},
      {"/model/dropout", 0.1, "t.json.model.dropout"},
      {"/model/byte_fallback", true, "t.json.model.byte_fallback"},
      {"/model/continuing_subword_prefix", "##", "t.json.model.continuing_subword_prefix"},
      {"/model/end_of_word_suffix", "</w>", "t.json.model.end_of_word_suffix"},
      {"/model/novelty", 1, "t.json.model"},
      {"/model/vocab", json::array(), "t.json.model.vocab"},
      {"/model/vocab/new", -1, "t.json.model.vocab[\"new\"]"},
      {"/model/vocab/new", 1.0, "t.json.model.vocab[\"new\"]"},
      {"/model/vocab/new", 1 << 30, "t.json.model.vocab[\"new\"]"},
      {"/model/vocab/new", 5, "an id of its own"},
      {"/model/merges/3", json::array({"a"}), "t.json.model.merges[3]"},
      {"/model/merges/3", "a b", "t.json.model.merges[3]"},
      {"/model/merges/3", good["model"]["merges"][2], "t.json.model.merges[3]"},
      {"/model/merges/3", json::array({"a", "qqq"}), "t.json.model.merges[3]"},
      {"/model/merges/3", json::array({"", "a"}), "t.json.model.merges[3]"},
      {"/model/merges", json::object(), "t.json.model.merges"},
      {"/added_tokens/1/id", 3, "t.json.added_tokens[1].id"},
      {"/added_tokens/1/content", "", "t.json.added_tokens[1].content"},
      {"/added_tokens/1/content", std::string(2000, 'x'), "t.json.added_tokens[1].content"},
      {"/added_tokens/1/lstrip", "no", "t.json.added_tokens[1].lstrip"},
      {"/added_tokens/1/novelty", 1, "t.json.added_tokens[1]"},
      {"/added_tokens/2", good["added_tokens"][1], "t.json.added_tokens[2]"},
  };
  ASSERT_NO_THROW(read(good));
  for (const Refusal& refusal : refusals) {
    json edited = good;
    edited[json::json_pointer(refusal.pointer)] = refusal.value;
    EXPECT_THAT(message_of<DataError>([&] { read(edited); }),
                AllOf(HasSubstr("t.json"), HasSubstr(refusal.path)))
        << refusal.pointer << " = " << refusal.value.dump().substr(0, 80);
  }
  json without_byte = good;
  without_byte["model"]["vocab"].erase("\xc4\xa0");  // the space
  EXPECT_THAT(message_of<DataError>([&] { read(without_byte); }), HasSubstr("0x20"));
  for (const char* key : {"model", "pre_tokenizer", "decoder"}) {
    json missing = good;
    missing.erase(key);
    EXPECT_THAT(message_of<DataError>([&] { read(missing); }), HasSubstr(key));
  }
}

TEST(TokenizerJson, RefusesWhatIsNoPlainJson) {
  const std::string good = read_fixture("gpt2.json");
  const auto refusal = [](const std::string& text) {
    return message_of<DataError>([&] { BpeTokenizer::read(text, kEnd, "t.json"); });
  };
  EXPECT_THAT(refusal(good.substr(0, good.size() / 2)), HasSubstr("t.json"));
  EXPECT_THAT(refusal(good + "{}"), HasSubstr("t.json"));
  EXPECT_THAT(refusal("{\"model\":{},\"model\":{}}"), HasSubstr("twice"));
  EXPECT_THAT(refusal(std::string(100, '[') + std::string(100, ']')), HasSubstr("nested"));
  EXPECT_THAT(refusal("[]"), HasSubstr("object"));
  EXPECT_THAT(message_of<DataError>([&] { BpeTokenizer::read(good, "<|nobody|>", "t.json"); }),
              AllOf(HasSubstr("<|nobody|>"), HasSubstr("--end-of-document")));
}

// Bits of a good file are changed by a fixed rule: what is then still accepted must work, what is not must be
// a DataError, and nothing may crash, hang or be an internal error.
TEST(TokenizerJson, SurvivesTenThousandMutations) {
  json small = fixture("flags");
  json& model = small["model"];
  model["merges"].get_ref<json::array_t&>().resize(
      40);  // a small file: a change hits more than the vocabulary
  const std::string good = small.dump();
  const TextRule rule;
  std::uint64_t state = 1;
  const auto draw = [&](std::uint64_t count) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33U) % count;
  };
  const std::string pieces[] = {"{",    "}",     "[",        "]",  ",",   ":",           "\"",
                                "null", "true",  "1e9",      "-1", "(?:", "*",           "\\\\p",
                                "{3}",  "\\u00", "\"type\"", "id", "0",   "999999999999"};
  std::size_t num_accepted = 0;
  for (int round = 0; round < 10000; ++round) {
    std::string text = good;
    for (std::uint64_t left = 1 + draw(3); left > 0; --left) {
      // Half of the changes outside of the long vocabulary.
      const std::size_t from = draw(2) == 0 ? 0 : draw(text.size());
      const std::size_t at = std::min(from + draw(from == 0 ? 1500 : 50), text.size() - 1);
      switch (draw(4)) {
        case 0:
          text[at] = static_cast<char>(draw(256));
          break;
        case 1:
          text.erase(at, 1 + draw(8));
          break;
        case 2:
          text.insert(at, pieces[draw(std::size(pieces))]);
          break;
        default:
          text[at] = static_cast<char>(text[at] ^ (1 << draw(8)));
      }
    }
    try {
      const auto tokenizer = BpeTokenizer::read(text, kEnd, "t.json");
      const std::string bytes = rule.string(draw(rule.size()));
      const auto tokens = encoded(*tokenizer, bytes);
      tokenizer->decode(tokens);
      EXPECT_LE(tokenizer->last_cut(bytes), bytes.size());
      ++num_accepted;
    } catch (const DataError&) {
    }
  }
  EXPECT_GT(num_accepted, 100U);
}

TEST(BpeTokenizer, IsRebuiltFromItsJsonAndToldApartByItsDigest) {
  const auto tokenizer = BpeTokenizer::read(read_fixture("llama3.json"), kEnd, "t.json");
  const auto again = tokenizer_from_json(tokenizer->to_json());
  EXPECT_EQ(again->to_json(), tokenizer->to_json());
  EXPECT_EQ(again->digest(), tokenizer->digest());
  EXPECT_EQ(again->name(), "bpe");
  EXPECT_EQ(again->end_of_document(), tokenizer->end_of_document());
  const std::string text = "Some text, and its end<|endoftext|>\n";
  EXPECT_EQ(encoded(*again, text), encoded(*tokenizer, text));
  EXPECT_EQ(again->decode(encoded(*again, text)), "Some text, and its end\n");  // the end stands for no bytes
  // The spelling of the file does not matter, what it says does.
  EXPECT_EQ(BpeTokenizer::read(fixture("llama3").dump(4), kEnd, "x")->digest(), tokenizer->digest());
  EXPECT_NE(BpeTokenizer::read(fixture("llama3").dump(), "<|im_end|>", "x")->digest(), tokenizer->digest());
  json edited = fixture("llama3");
  std::swap(edited["model"]["merges"][20], edited["model"]["merges"][21]);
  EXPECT_NE(read(edited)->digest(), tokenizer->digest());
  json description = json::parse(tokenizer->to_json());
  description["vocab_size"] = 5;
  EXPECT_THROW(tokenizer_from_json(description.dump()), DataError);
  description.erase("tokenizer_json");
  EXPECT_THROW(tokenizer_from_json(description.dump()), DataError);
  for (const std::int32_t token : {-1, static_cast<std::int32_t>(tokenizer->vocab_size())})
    EXPECT_THROW(tokenizer->decode(std::span(&token, 1)), DataError);
}

TEST(BpeTokenizer, GivesEachThreadTheSameTokens) {
  const auto tokenizer = BpeTokenizer::read(read_fixture("qwen.json"), kEnd, "t.json");
  const TextRule rule;
  std::vector<std::vector<std::int32_t>> found(4);
  std::vector<std::thread> threads;
  for (auto& tokens : found)
    threads.emplace_back([&] {
      for (std::uint64_t index = 0; index < rule.size(); index += 101)
        tokenizer->encode(rule.string(index), tokens);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& tokens : found) EXPECT_EQ(tokens, found[0]);
  EXPECT_GT(found[0].size(), 10000U);
}

TEST(MakeTokenizer, FindsTheEndOfADocument) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  write_bytes(folder / "tokenizer.json", read_fixture("llama3.json"));
  const auto end_of = [&](const std::string& named = {}) {
    const auto tokenizer = make_tokenizer(path, named);
    return tokenizer->end_of_document();
  };
  const json added = fixture("llama3")["added_tokens"];
  const auto id = [&](const std::string& content) {
    for (const json& token : added)
      if (token["content"] == content) return token["id"].get<std::int32_t>();
    return -1;
  };
  // Four special tokens and nobody says which.
  EXPECT_THAT(message_of<UserError>([&] { end_of(); }),
              AllOf(HasSubstr("<|im_end|>"), HasSubstr("--end-of-document")));
  EXPECT_EQ(end_of("<|im_start|>"), id("<|im_start|>"));
  write_bytes(folder / "special_tokens_map.json",
              R"({"eos_token":{"content":"<|endoftext|>","lstrip":false}})");
  EXPECT_EQ(end_of(), id("<|endoftext|>"));
  write_bytes(folder / "tokenizer_config.json", R"({"eos_token":"<|im_end|>"})");
  EXPECT_EQ(end_of(), id("<|im_end|>"));
  EXPECT_EQ(end_of("<|im_start|>"), id("<|im_start|>"));
  write_bytes(folder / "tokenizer_config.json", R"({"eos_token":7})");
  EXPECT_THAT(message_of<DataError>([&] { end_of(); }), HasSubstr("tokenizer_config.json"));
  // A single special token ends documents; the file may be named itself.
  write_bytes(folder / "one" / "t.json", read_fixture("gpt2.json"));
  EXPECT_EQ(make_tokenizer((folder / "one" / "t.json").string())->end_of_document(), 0);
  EXPECT_THAT(message_of<UserError>([&] { make_tokenizer((folder / "none").string()); }), HasSubstr("none"));
  EXPECT_THAT(message_of<UserError>([&] { make_tokenizer("bytes", "x"); }), HasSubstr("--end-of-document"));
}

}  // namespace
}  // namespace switchyard::data
