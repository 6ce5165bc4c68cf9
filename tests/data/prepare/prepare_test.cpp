#include "data/prepare/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <map>

#include <nlohmann/json.hpp>

#include "data/tokens/token_dataset.h"
#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Names = std::set<std::string>;

class Prepare : public testing::Test {
 protected:
  PrepareOptions options(std::vector<std::filesystem::path> inputs) const {
    PrepareOptions chosen;
    chosen.inputs = std::move(inputs);
    chosen.output = folder_ / "work" / "out";
    return chosen;
  }
  PrepareSummary run(const PrepareOptions& chosen) const { return prepare(chosen, ByteTokenizer()); }
  /// The refusal, with the proof that nothing remains beside the inputs.
  template <typename Expected>
  std::string refusal(const PrepareOptions& chosen) const {
    std::string message = message_of<Expected>([&] { run(chosen); });
    if (std::filesystem::exists(folder_ / "work")) {
      EXPECT_EQ(names_in(folder_ / "work"), Names{}) << message;
    }
    return message;
  }
  std::vector<std::int32_t> tokens_of(const std::string& split) const {
    const TokenDataset dataset(folder_ / "work" / "out", split);
    std::vector<std::int32_t> tokens(dataset.num_tokens());
    dataset.tokens(0, tokens.size(), tokens.data());
    return tokens;
  }
  /// Documents of a split, as text.
  std::vector<std::string> documents_of(const std::string& split) const {
    std::vector<std::string> documents = {""};
    for (const std::int32_t token : tokens_of(split)) {
      if (token == 256) {
        documents.emplace_back();
      } else {
        documents.back().push_back(static_cast<char>(token));
      }
    }
    EXPECT_EQ(documents.back(), "") << "every document ends";
    documents.pop_back();
    return documents;
  }
  std::map<std::string, std::string> bytes_of_output() const {
    std::map<std::string, std::string> bytes;
    for (const std::string& name : names_in(folder_ / "work" / "out"))
      bytes[name] = read_bytes(folder_ / "work" / "out" / name);
    return bytes;
  }

  TemporaryFolder folder_;
};

TEST_F(Prepare, MakesADocumentOfEachFileAndEachLine) {
  write_bytes(folder_ / "in/a.txt", "first\n");
  write_bytes(folder_ / "in/b.jsonl", "{\"text\": \"second \\u20ac\"}\n\n{\"id\": 3, \"text\": \"third\"}");
  write_bytes(folder_ / "in/c.pod", "=head1 fourth\n");
  write_bytes(folder_ / "in/d.md", "");
  write_bytes(folder_ / "in/e.jsonl", "{\"text\": \"\"}\n");
  PrepareOptions chosen = options({folder_ / "in"});
  chosen.held_out = 0;
  const PrepareSummary summary = run(chosen);
  EXPECT_THAT(documents_of(kTrainSplit),
              testing::ElementsAre("first\n", "second \xe2\x82\xac", "third", "=head1 fourth\n"));
  EXPECT_EQ(summary.documents, 4U);
  EXPECT_EQ(summary.train.documents, 4U);
  EXPECT_EQ(summary.tokens, tokens_of(kTrainSplit).size());
  EXPECT_EQ(summary.empty_documents, 2U);
  EXPECT_EQ(summary.files, 5U);
  EXPECT_EQ(summary.validation.tokens, 0U);
  EXPECT_EQ(names_in(folder_ / "work"), Names{"out"});
  EXPECT_EQ(names_in(folder_ / "work" / "out"), (Names{"manifest.json", "train-00000.h5"}));
  EXPECT_THROW(tokens_of(kValidationSplit), DataError);
}

TEST_F(Prepare, HoldsOutWholeDocuments) {
  std::set<std::string> all;
  for (int i = 0; i < 500; ++i) {
    all.insert("document " + std::to_string(i));
    write_bytes(folder_ / "in" / (std::to_string(i) + ".txt"), "document " + std::to_string(i));
  }
  PrepareOptions chosen = options({folder_ / "in"});
  chosen.held_out = 0.1;
  const PrepareSummary summary = run(chosen);
  std::set<std::string> found;
  for (const char* split : {kTrainSplit, kValidationSplit})
    for (const std::string& document : documents_of(split))
      EXPECT_TRUE(found.insert(document).second) << document;
  EXPECT_EQ(found, all);
  EXPECT_NEAR(static_cast<double>(summary.validation.documents), 50, 27);
  EXPECT_EQ(summary.documents, 500U);
}

TEST_F(Prepare, DividesASingleDocument) {
  std::string text;
  for (int i = 0; i < 50000; ++i) text += "line " + std::to_string(i) + "\n";
  for (const bool is_json : {false, true}) {
    const auto input = folder_ / (is_json ? "a.jsonl" : "a.txt");
    write_bytes(input, is_json ? nlohmann::json{{"text", text}}.dump() : text);
    PrepareOptions chosen = options({input});
    chosen.overwrite = true;
    const PrepareSummary summary = run(chosen);
    const auto train = documents_of(kTrainSplit);
    const auto validation = documents_of(kValidationSplit);
    ASSERT_EQ(train.size(), 1U);
    ASSERT_EQ(validation.size(), 1U);
    EXPECT_TRUE(train[0] + validation[0] == text);
    EXPECT_EQ(train[0].back(), '\n');
    EXPECT_NEAR(static_cast<double>(validation[0].size()), 0.05 * static_cast<double>(text.size()), 20);
    EXPECT_EQ(summary.validation.tokens, validation[0].size() + 1);
  }
}

TEST_F(Prepare, GivesTheSameBytesForAnyNumberOfThreads) {
  std::string lines;
  std::string text;
  for (int i = 0; i < 60000; ++i) {
    lines += nlohmann::json{{"text", "document " + std::to_string(i * 7919)}}.dump() + "\n";
    text += "text \xe2\x82\xac of line " + std::to_string(i * 31) + (i % 9 == 0 ? "\n" : " ");
  }
  write_bytes(folder_ / "in/a.jsonl", lines);
  write_bytes(folder_ / "in/b.txt", text);
  for (int i = 0; i < 50; ++i)
    write_bytes(folder_ / "in" / ("c" + std::to_string(i)), "file " + std::to_string(i * i));
  std::map<std::string, std::string> expected;
  for (const int threads : {1, 2, 7}) {
    PrepareOptions chosen = options({folder_ / "in"});
    chosen.threads = threads;
    chosen.tokens_per_shard = 1000003;
    chosen.overwrite = true;
    const PrepareSummary summary = run(chosen);
    EXPECT_GT(summary.train.shards, 2U);
    const auto found = bytes_of_output();
    if (threads == 1) expected = found;
    EXPECT_TRUE(found == expected) << threads;
  }
}

TEST_F(Prepare, ReportsProgressToTheEnd) {
  write_bytes(folder_ / "a.txt", std::string(3500000, 'x'));
  PrepareOptions chosen = options({folder_ / "a.txt"});
  std::vector<std::uint64_t> done;
  chosen.progress = [&](const PrepareProgress& progress) {
    EXPECT_EQ(progress.bytes_total, 3500000U);
    done.push_back(progress.bytes_done);
  };
  run(chosen);
  EXPECT_GE(done.size(), 4U);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), 3500000U);
}

TEST_F(Prepare, RefusesInvalidUtf8ByItsPlace) {
  write_bytes(folder_ / "a.txt", std::string(1500000, 'x') + "\xff tail");
  EXPECT_THAT(refusal<DataError>(options({folder_ / "a.txt"})),
              AllOf(HasSubstr("0xff"), HasSubstr("byte 1500000"), HasSubstr((folder_ / "a.txt").string())));
  write_bytes(folder_ / "a.jsonl", "{\"text\": \"fine\"}\n{\"text\": \"\xc3(\"}\n");
  EXPECT_THAT(refusal<DataError>(options({folder_ / "a.jsonl"})),
              AllOf(HasSubstr("a.jsonl:2"), HasSubstr("byte 27"), HasSubstr("0xc3")));
}

TEST_F(Prepare, ReplacesInvalidUtf8WhenTold) {
  write_bytes(folder_ / "a.txt", "one \xff two");
  write_bytes(folder_ / "b.jsonl", "{\"text\": \"three \xc3(\"}");
  PrepareOptions chosen = options({folder_ / "a.txt", folder_ / "b.jsonl"});
  chosen.held_out = 0;
  chosen.invalid_utf8 = InvalidUtf8::replace;
  EXPECT_EQ(run(chosen).replaced, 2U);
  EXPECT_THAT(documents_of(kTrainSplit), testing::ElementsAre("one \xef\xbf\xbd two", "three \xef\xbf\xbd("));
}

TEST_F(Prepare, RefusesInputThatIsMissingEmptyOrIllFormed) {
  EXPECT_THAT(refusal<DataError>(options({folder_ / "absent"})), HasSubstr("absent"));
  EXPECT_THROW(run(options({})), UserError);
  write_bytes(folder_ / "in/empty.txt", "");
  EXPECT_THAT(refusal<DataError>(options({folder_ / "in"})), HasSubstr("must hold text"));
  write_bytes(folder_ / "in/blank.jsonl", "\n\n{\"text\": \"\"}\n");
  EXPECT_THAT(refusal<DataError>(options({folder_ / "in"})), HasSubstr("must hold text"));
  std::filesystem::create_directories(folder_ / "nothing");
  EXPECT_THAT(refusal<DataError>(options({folder_ / "nothing"})), HasSubstr("must hold text"));

  write_bytes(folder_ / "x.txt", "x");
  EXPECT_THAT(refusal<DataError>(options({folder_ / "x.txt"})), HasSubstr("too few to hold out"));
  write_bytes(folder_ / "b.jsonl", "{\"text\": \"fine\"}\n{\"body\": \"no\"}\n");
  EXPECT_THAT(refusal<DataError>(options({folder_ / "b.jsonl"})),
              AllOf(HasSubstr("b.jsonl:2"), HasSubstr("body")));
  PrepareOptions short_lines = options({folder_ / "b.jsonl"});
  short_lines.line_limit_bytes = 10;
  EXPECT_THAT(refusal<DataError>(short_lines), AllOf(HasSubstr("b.jsonl:1"), HasSubstr("10 bytes")));
}

TEST_F(Prepare, LeavesNothingAfterAFailureHalfWay) {
  // Many whole shards are committed in the staging folder before the last file fails.
  write_bytes(folder_ / "in/a.txt", std::string(300000, 'x'));
  write_bytes(folder_ / "in/z.txt", "bad \xff");
  PrepareOptions chosen = options({folder_ / "in"});
  chosen.tokens_per_shard = 50000;
  EXPECT_THAT(refusal<DataError>(chosen), HasSubstr("z.txt"));
  // The same with a folder to be overwritten: it stays as it was.
  write_bytes(folder_ / "good.txt", "some good text");
  run(options({folder_ / "good.txt"}));
  const auto before = bytes_of_output();
  chosen.overwrite = true;
  EXPECT_THROW(run(chosen), DataError);
  EXPECT_TRUE(bytes_of_output() == before);
  EXPECT_EQ(names_in(folder_ / "work"), Names{"out"});
}

TEST_F(Prepare, LeavesNothingAfterTheDiskRefuses) {
  write_bytes(folder_ / "a.txt", std::string(400000, 'x'));
  // A limit on the size of a file stands in for a full disk: the kernel refuses the write in the same place.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t limit : {rlim_t{0}, rlim_t{1000}, rlim_t{100000}, rlim_t{761000}}) {
    rlimit small = before;
    small.rlim_cur = limit;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    const std::string message = refusal<DiskError>(options({folder_ / "a.txt"}));
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_THAT(message, HasSubstr("disk:")) << limit;
  }
  EXPECT_NO_THROW(run(options({folder_ / "a.txt"})));
}

TEST_F(Prepare, ClearsWhatAnInterruptedRunLeft) {
  write_bytes(folder_ / "work/.out.partial/.train-00000.h5.tokens", "stale");
  write_bytes(folder_ / "work/.out.partial/train-00007.h5", "stale");
  write_bytes(folder_ / "a.txt", "some text");
  run(options({folder_ / "a.txt"}));
  EXPECT_EQ(names_in(folder_ / "work"), Names{"out"});
  EXPECT_EQ(names_in(folder_ / "work" / "out"),
            (Names{"manifest.json", "train-00000.h5", "validation-00000.h5"}));
}

TEST_F(Prepare, NeverReplacesWhatItDidNotMake) {
  write_bytes(folder_ / "a.txt", "some text");
  const PrepareOptions plain = options({folder_ / "a.txt"});
  PrepareOptions overwriting = plain;
  overwriting.overwrite = true;
  run(plain);
  EXPECT_THAT(message_of<UserError>([&] { run(plain); }), HasSubstr("must not exist yet"));
  run(overwriting);
  write_bytes(folder_ / "work/out/thesis.txt", "precious");
  EXPECT_THAT(message_of<UserError>([&] { run(overwriting); }), HasSubstr("other files"));
  EXPECT_EQ(read_bytes(folder_ / "work/out/thesis.txt"), "precious");
  std::filesystem::remove_all(folder_ / "work/out");
  write_bytes(folder_ / "work/out", "a file");
  EXPECT_THAT(message_of<UserError>([&] { run(overwriting); }), HasSubstr("folder"));
  std::filesystem::remove(folder_ / "work/out");
  std::filesystem::create_directories(folder_ / "work/out");
  EXPECT_NO_THROW(run(plain)) << "an empty folder is fine";
}

TEST_F(Prepare, RefusesOptionsOutOfRange) {
  write_bytes(folder_ / "a.txt", "some text");
  const PrepareOptions good = options({folder_ / "a.txt"});
  const std::vector<std::function<void(PrepareOptions&)>> mistakes = {
      [](PrepareOptions& o) { o.held_out = -0.1; },
      [](PrepareOptions& o) { o.held_out = 0.51; },
      [](PrepareOptions& o) { o.held_out = std::nan(""); },
      [](PrepareOptions& o) { o.tokens_per_shard = 0; },
      [](PrepareOptions& o) { o.threads = 0; },
      [](PrepareOptions& o) { o.json_key = ""; },
      [](PrepareOptions& o) { o.line_limit_bytes = 0; },
      [](PrepareOptions& o) { o.output = ""; },
  };
  for (const auto& mistake : mistakes) {
    PrepareOptions bad = good;
    mistake(bad);
    EXPECT_THAT(message_of<UserError>([&] { run(bad); }), HasSubstr("prepare: "));
  }
}

TEST_F(Prepare, MayLieInsideItsInput) {
  write_bytes(folder_ / "work/a.txt", "some text");
  PrepareOptions chosen = options({folder_ / "work"});
  run(chosen);
  const auto first = bytes_of_output();
  chosen.overwrite = true;
  run(chosen);
  EXPECT_TRUE(bytes_of_output() == first) << "its own shards are no input";
}

// Chunks of eight bytes to all of the text, one thread to three: the tokens are those of each text as a
// whole.
TEST_F(Prepare, GivesTheTokensOfTheWholeTextForAnyChunksAndThreads) {
  const std::filesystem::path fixtures =
      std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "tests/data/text/bpe/fixtures";
  std::string text;
  for (int i = 0; i < 400; ++i)
    text += "It's line " + std::to_string(i * i) +
            ",  of na\xc3\xafve\t\xe6\xbc\xa2\xe5\xad\x97\xe3\x80\x82 <|endoftext|>  words\r\n\n" +
            std::string(static_cast<std::size_t>(i % 50), i % 3 == 0 ? ' ' : 'e') + "\xcc\x81\xff\n";
  const auto input = folder_ / "a.txt";
  write_bytes(input, text);
  for (const char* name : {"llama3", "neox", "flags", "behaviors"}) {
    const auto tokenizer =
        make_tokenizer((fixtures / (std::string(name) + ".json")).string(), "<|endoftext|>");
    std::vector<std::int32_t> whole;
    tokenizer->encode(text, whole);
    whole.push_back(tokenizer->end_of_document());
    for (const std::size_t chunk_bytes : {8U, 100U, 5000U, 1U << 20U}) {
      PrepareOptions chosen = options({input});
      chosen.held_out = 0;
      chosen.overwrite = true;
      chosen.invalid_utf8 = InvalidUtf8::replace;
      chosen.chunk_bytes = chunk_bytes;
      chosen.threads = chunk_bytes == 100 ? 3 : 1;
      const PrepareSummary summary = prepare(chosen, *tokenizer);
      EXPECT_EQ(summary.replaced, 400U);
      EXPECT_EQ(tokens_of(kTrainSplit), whole) << name << " in chunks of " << chunk_bytes;
    }
  }
}

TEST_F(Prepare, RefusesTextThatTheTokenizerCannotDivide) {
  write_bytes(folder_ / "a.txt", std::string(3000, 'x'));
  PrepareOptions chosen = options({folder_ / "a.txt"});
  chosen.held_out = 0;
  chosen.chunk_bytes = 100;
  chosen.line_limit_bytes = 1000;
  const auto tokenizer = make_tokenizer(
      (std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "tests/data/text/bpe/fixtures/gpt2.json").string());
  EXPECT_THAT(message_of<DataError>([&] { prepare(chosen, *tokenizer); }),
              AllOf(HasSubstr("a.txt"), HasSubstr("1000"), HasSubstr("line limit")));
  chosen.line_limit_bytes = 4000;
  EXPECT_EQ(prepare(chosen, *tokenizer).documents, 1U);
}

}  // namespace
}  // namespace switchyard::data
