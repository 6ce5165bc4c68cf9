// A checkpoint into a folder, and what came in going out again byte for byte.
#include "app/hugging_face/export/exporter.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/hugging_face/export/parts.h"
#include "app/hugging_face/import/importer.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/model_writer.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using test::ModelWriter;

class Export : public testing::Test {
 protected:
  /// In, and out again.
  ExportReport through(const ModelWriter& model, ExportOptions options) {
    model.write(folder_ / "in");
    ImportOptions import;
    import.folder = folder_ / "in";
    import.output = folder_ / "run";
    import.replace = std::filesystem::exists(folder_ / "run");
    import_model(io_, import);
    options.path = folder_ / "run";
    options.output = folder_ / "out";
    options.replace = std::filesystem::exists(folder_ / "out");
    return export_model(io_, options);
  }
  nlohmann::json json_of(const std::string& name) const {
    return nlohmann::json::parse(test::read_file(folder_ / ("out/" + name)));
  }

  test::Folder folder_;
  data::RealIo io_;
};

TEST_F(Export, WhatCameInGoesOutByteForByte) {
  for (const FamilyTraits& family : families())
    for (const auto& [dtype, format] :
         {std::pair("F32", ElementFormat::f32), std::pair("BF16", ElementFormat::bf16)}) {
      ModelWriter model(family.family, dtype);
      if (format == ElementFormat::bf16) {  // all bit patterns, infinities and every NaN among them
        std::string& bytes = model.tensors.at("model.embed_tokens.weight").bytes;
        for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
          bytes[i] = static_cast<char>(i * 7919 >> 4);
          bytes[i + 1] = static_cast<char>(i * 104729 >> 7);
        }
      }
      ExportOptions options;
      options.format = format;
      options.family = family.model_type;  // a llama without windows is a mistral just as well
      EXPECT_EQ(through(model, options).family, family.family);
      EXPECT_TRUE(test::read_file(folder_ / "out/model.safetensors") ==
                  test::read_file(folder_ / "in/model.safetensors"))
          << family.model_type << " " << dtype;
    }
}

TEST_F(Export, BFloatRoundsToTheNearest) {
  ModelWriter model(Family::llama);
  const float values[] = {1.0F, 1.00390625F, 1.005F,
                          -1.01171875F};  // 1; halves go to even; up; to even again
  std::string& bytes = model.tensors.at("model.norm.weight").bytes;
  std::memcpy(bytes.data(), values, sizeof(values));
  ExportOptions options;
  options.format = ElementFormat::bf16;
  through(model, options);
  const auto out =
      test::values_of(test::read_tensors(folder_ / "out/model.safetensors").at("model.norm.weight"));
  EXPECT_EQ(out[0], 1.0F);
  EXPECT_EQ(out[1], 1.0F);
  EXPECT_EQ(out[2], 1.0078125F);
  EXPECT_EQ(out[3], -1.015625F);
  EXPECT_EQ(json_of("config.json")["torch_dtype"], "bfloat16");
}

TEST_F(Export, PartsHoldEveryTensorOnceAndTheIndexFindsThem) {
  const ModelWriter model(Family::qwen3_moe);
  ExportOptions options;
  options.part_bytes = 20'000;
  const ExportReport report = through(model, options);
  const auto index = json_of("model.safetensors.index.json");
  std::map<std::string, test::WrittenTensor> all;
  std::int64_t bytes = 0;
  int parts = 0;
  for (const std::string& file : report.files) {
    if (!file.ends_with(".safetensors")) continue;
    ++parts;
    std::int64_t in_file = 0;
    for (auto& [name, tensor] : test::read_tensors(folder_ / ("out/" + file))) {
      EXPECT_EQ(index["weight_map"][name], file);
      in_file += static_cast<std::int64_t>(tensor.bytes.size());
      EXPECT_TRUE(all.emplace(name, tensor).second) << name;
    }
    EXPECT_LE(in_file, 20'000);
    bytes += in_file;
  }
  EXPECT_GT(parts, 3);
  EXPECT_EQ(report.files.front(), fmt::format("model-00001-of-{:05}.safetensors", parts));
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  ASSERT_EQ(all.size(), model.tensors.size());
  for (const auto& [name, tensor] : model.tensors) EXPECT_EQ(all.at(name).bytes, tensor.bytes) << name;
  // And back in, from the parts.
  ImportOptions again;
  again.folder = folder_ / "out";
  again.output = folder_ / "again";
  EXPECT_EQ(import_model(io_, again).files, static_cast<std::size_t>(parts));
}

TEST_F(Export, ATensorLargerThanAPartHasAFileOfItsOwn) {
  const std::vector<TensorPiece> pieces = {
      {"a", {2}, "a", 0, 2}, {"b", {100}, "b", 0, 100}, {"c", {2}, "c", 0, 2}};
  const auto parts = plan_parts(pieces, 4, 16);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[1].pieces.front().name, "b");
  EXPECT_EQ(parts[1].file, "model-00002-of-00003.safetensors");
  EXPECT_EQ(plan_parts(pieces, 4, 1000).front().file, "model.safetensors");
}

TEST_F(Export, AFolderThatCameWithoutATokenizerGoesOutWithoutOne) {
  through(ModelWriter(Family::llama), {});
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out" / name)) << name;
  EXPECT_TRUE(json_of("config.json").at("eos_token_id").is_null());
  EXPECT_TRUE(json_of("generation_config.json").at("eos_token_id").is_null());
}

TEST_F(Export, RowsOfTheVocabularyAreWhatTheUserSays) {
  ExportOptions options;
  const ExportReport whole = through(ModelWriter(Family::llama), options);
  EXPECT_EQ(whole.vocabulary, 96);
  options.vocabulary = 90;
  const ExportReport fewer = through(ModelWriter(Family::llama), options);
  EXPECT_EQ(fewer.padding, 6);
  EXPECT_EQ(json_of("config.json")["vocab_size"], 90);
  EXPECT_EQ(test::read_tensors(folder_ / "out/model.safetensors").at("lm_head.weight").shape,
            (std::vector<std::int64_t>{90, 32}));
  options.vocabulary = 97;
  EXPECT_THROW(through(ModelWriter(Family::llama), options), UserError);
}

TEST_F(Export, AFolderOfSomebodyElseIsNotReplaced) {
  through(ModelWriter(Family::llama), {});
  ExportOptions options;
  options.path = folder_ / "run";
  options.output = folder_ / "out";
  EXPECT_THROW(export_model(io_, options), UserError) << "it is there";
  options.output = folder_ / "mine";
  test::write_file(folder_ / "mine/precious", "x");
  options.replace = true;
  EXPECT_THROW(export_model(io_, options), UserError) << "no folder that export made";
  EXPECT_EQ(test::read_file(folder_ / "mine/precious"), "x");
}

}  // namespace
}  // namespace switchyard::app
