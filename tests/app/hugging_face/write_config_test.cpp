#include "app/hugging_face/family/write_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/config/config.h"
#include "app/config/table/write.h"
#include "app/hugging_face/family/match.h"
#include "app/hugging_face/family/read_config.h"
#include "tests/app/hugging_face/folders.h"

namespace switchyard::app {
namespace {

/// Every key of the model section that differs.
std::string differing(const moe::ModelConfig& a, const moe::ModelConfig& b) {
  Config first = default_config(), second = default_config();
  first.model = a;
  second.model = b;
  return differences_text(first, second);
}

TEST(WriteConfig, WhatWasReadIsWrittenAndReadTheSame) {
  for (const FamilyTraits& family : families()) {
    const ModelDescription read = read_model_description(test::written_config(family), "config.json");
    EXPECT_THAT(obstacles(family, read.model), testing::IsEmpty()) << family.model_type;
    const nlohmann::json written =
        model_description(family, read.model, {read.model.vocab_size, 0, "float32"});
    const ModelDescription again = read_model_description(written, "config.json");
    EXPECT_EQ(again.family, family.family);
    EXPECT_EQ(differing(again.model, read.model), "") << family.model_type;
    EXPECT_THAT(again.unknown_keys, testing::IsEmpty()) << family.model_type;
    EXPECT_EQ(again.end_of_document, 0);
    EXPECT_EQ(again.dtype, "float32");
  }
}

TEST(WriteConfig, NoSwitchIsLeftToAClassDefault) {
  for (const FamilyTraits& family : families()) {
    const moe::ModelConfig model = read_model_description(test::written_config(family), "config.json").model;
    const nlohmann::json written = model_description(family, model, {model.vocab_size, 0, "float32"});
    const nlohmann::json theirs = test::written_config(family);
    for (const auto& item : theirs.items()) {
      // The rotary positions in their older spelling; the rest says nothing of the numbers.
      const std::string& key = item.key();
      if (key == "num_local_experts" || key == "rope_parameters" || key == "dtype" ||
          key == "transformers_version" || key == "layer_types" || key == "max_window_layers" ||
          key == "pretraining_tp" || key == "decoder_sparse_step")
        continue;
      EXPECT_TRUE(written.contains(key)) << family.model_type << " " << key;
    }
    EXPECT_TRUE(written.contains("rope_theta"));
    EXPECT_EQ(written.contains(family.experts_key), family.has_experts());
    EXPECT_TRUE(written.at("pad_token_id").is_null()) << "or transformers pads with a class default";
  }
}

TEST(WriteConfig, PaddingIsNotCounted) {
  moe::ModelConfig model;
  model.vocab_size = 320;
  const auto written = model_description(traits_of(Family::llama), model, {257, 256, "bfloat16"});
  EXPECT_EQ(written["vocab_size"], 257);
  EXPECT_EQ(written["eos_token_id"], 256);
  EXPECT_EQ(written["torch_dtype"], "bfloat16");
  EXPECT_EQ(generation_description({257, 256, "bfloat16"})["eos_token_id"], 256);
}

}  // namespace
}  // namespace switchyard::app
