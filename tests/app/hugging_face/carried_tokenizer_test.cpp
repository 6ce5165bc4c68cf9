// A byte-level BPE vocabulary through an import and an export, and once more: the same ids, the same file.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/hugging_face/export/exporter.h"
#include "app/hugging_face/import/importer.h"
#include "data/text/tokenizer.h"
#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/model_writer.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

class CarriedTokenizer : public testing::TestWithParam<const char*> {
 protected:
  static std::string original() {
    return test::read_file(std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "tests/data/text/bpe/fixtures" /
                           (std::string(GetParam()) + ".json"));
  }
  /// A model whose vocabulary is the tokenizer's, with the file as its package wrote it.
  void write_folder(std::int64_t vocabulary) const {
    test::ModelWriter model(Family::llama);
    model.config["vocab_size"] = vocabulary;
    for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"})
      model.tensors.at(name) = test::sample_tensor(name, {vocabulary, model.tensors.at(name).shape[1]});
    model.write(folder_ / "in");
    test::write_file(folder_ / "in/tokenizer.json", original());
    test::write_file(folder_ / "in/tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
  }
  /// In and out again.
  void pass(const std::string& from, const std::string& to) {
    ImportOptions in;
    in.folder = folder_ / from;
    in.output = folder_ / ("run-" + to);
    EXPECT_EQ(import_model(io_, in).tokenizer, "bpe");
    ExportOptions out;
    out.path = in.output;
    out.output = folder_ / to;
    export_model(io_, out);
  }
  std::unique_ptr<data::Tokenizer> tokenizer(const std::string& name) const {
    return data::make_tokenizer((folder_ / name).string());
  }

  test::Folder folder_;
  test::UnsyncedIo io_;
};

TEST_P(CarriedTokenizer, KeepsItsIdsAndItsFile) {
  write_folder(96);
  write_folder(tokenizer("in")->vocab_size());
  pass("in", "out");
  EXPECT_EQ(nlohmann::json::parse(test::read_file(folder_ / "out/tokenizer.json")),
            nlohmann::json::parse(original()))
      << "another spelling of the same document";
  const auto before = tokenizer("in"), after = tokenizer("out");
  EXPECT_EQ(after->digest(), before->digest());
  EXPECT_EQ(after->end_of_document(), before->end_of_document());
  for (const char* text : {"it's 12345", "  two\n\nlines <|endoftext|> caf\xc3\xa9",
                           "\xe4\xbd\xa0\xe5\xa5\xbd \xff\xf0\x9f\x9a\x82"}) {
    std::vector<std::int32_t> ours, theirs;
    after->encode(text, ours);
    before->encode(text, theirs);
    EXPECT_EQ(ours, theirs) << text;
    EXPECT_FALSE(ours.empty());
  }
  pass("out", "again");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"})
    EXPECT_TRUE(test::read_file(folder_ / ("again/" + std::string(name))) ==
                test::read_file(folder_ / ("out/" + std::string(name))))
        << name;
}

TEST_P(CarriedTokenizer, KeepsARowForEachOfItsIds) {
  write_folder(96);
  const std::int64_t ids = tokenizer("in")->vocab_size();
  write_folder(ids + 8);
  pass("in", "out");
  ExportOptions options;
  options.path = folder_ / "run-out";
  options.output = folder_ / "fewer";
  options.vocabulary = ids - 1;
  EXPECT_THROW(export_model(io_, options), UserError);
  EXPECT_FALSE(std::filesystem::exists(options.output));
  options.vocabulary = ids;
  EXPECT_EQ(export_model(io_, options).padding, 8);
}

TEST_P(CarriedTokenizer, IsRefusedWhereTheEmbeddingHasNoRowForAnId) {
  write_folder(96);
  const std::int64_t ids = tokenizer("in")->vocab_size();
  write_folder(ids - 1);
  ImportOptions options;
  options.folder = folder_ / "in";
  options.output = folder_ / "run";
  try {
    import_model(io_, options);
    FAIL() << "an id without a row was taken";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr((folder_ / "in/tokenizer.json").string()));
    EXPECT_THAT(error.what(),
                testing::HasSubstr(fmt::format("config.json, {}; it has {}", ids - 1, ids - 1)));
  }
  EXPECT_FALSE(std::filesystem::exists(options.output));
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, CarriedTokenizer,
                         testing::Values("gpt2", "neox", "llama3", "qwen", "o200k", "deepseek"),
                         [](const testing::TestParamInfo<const char*>& vocabulary) {
                           return std::string(vocabulary.param);
                         });

}  // namespace
}  // namespace switchyard::app
