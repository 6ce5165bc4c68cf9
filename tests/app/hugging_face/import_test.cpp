// A folder into a checkpoint: what every element becomes, and what is refused.
#include "app/hugging_face/import/importer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>

#include "app/config/load.h"
#include "data/checkpoint/load/reader.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "tests/app/hugging_face/model_writer.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using test::ModelWriter;
using testing::HasSubstr;

class Import : public testing::Test {
 protected:
  ImportOptions options() const {
    ImportOptions options;
    options.folder = folder_ / "in";
    options.output = folder_ / "out/run";
    return options;
  }
  ImportReport run(const ModelWriter& model, ImportOptions options) {
    model.write(options.folder);
    return import_model(io_, options);
  }
  std::vector<float> tensor(const ImportReport& report, const std::string& name) {
    data::CheckpointReader reader(io_, report.checkpoint);
    const data::TensorRecord* record = reader.find(name);
    if (record == nullptr) throw std::runtime_error("no tensor " + name);
    std::vector<float> values(static_cast<std::size_t>(record->elements()));
    reader.read(name, 0, record->elements(), values.data());
    return values;
  }

  test::Folder folder_;
  data::RealIo io_;
};

TEST_F(Import, EveryFamilyArrivesWholeFromEveryDtype) {
  for (const FamilyTraits& family : families())
    for (const char* dtype : {"F32", "BF16", "F16"}) {
      ImportOptions where = options();
      where.folder = folder_ / fmt::format("in-{}-{}", family.model_type, dtype);
      where.output = folder_ / fmt::format("out-{}-{}", family.model_type, dtype);
      const ModelWriter model(family.family, dtype);
      const ImportReport report = run(model, where);
      EXPECT_EQ(report.description.family, family.family);
      EXPECT_EQ(data::verify_checkpoint(io_, report.checkpoint, {}), std::nullopt);
      EXPECT_EQ(tensor(report, "embedding.weight"),
                test::values_of(model.tensors.at("model.embed_tokens.weight")));
      EXPECT_EQ(tensor(report, "layers.1.attention.v.weight"),
                test::values_of(model.tensors.at("model.layers.1.self_attn.v_proj.weight")));
      EXPECT_EQ(tensor(report, "layers.0.mlp_norm.weight"),
                test::values_of(model.tensors.at("model.layers.0.post_attention_layernorm.weight")));
    }
}

TEST_F(Import, ExpertsAreStackedGateAboveUp) {
  const ModelWriter model(Family::qwen3_moe);
  const ImportReport report = run(model, options());
  std::vector<float> gate_up, down;
  for (int e = 0; e < 4; ++e) {
    const std::string prefix = fmt::format("model.layers.1.mlp.experts.{}.", e);
    for (const char* part : {"gate_proj", "up_proj"})
      for (const float value : test::values_of(model.tensors.at(prefix + part + ".weight")))
        gate_up.push_back(value);
    for (const float value : test::values_of(model.tensors.at(prefix + "down_proj.weight")))
      down.push_back(value);
  }
  EXPECT_EQ(tensor(report, "layers.1.moe.experts.gate_up.weight"), gate_up);
  EXPECT_EQ(tensor(report, "layers.1.moe.experts.down.weight"), down);
}

TEST_F(Import, SeveralFilesWithAnIndexAreOneModel) {
  const ModelWriter model(Family::mixtral);
  model.write(folder_ / "in", 3);
  const ImportReport report = import_model(io_, options());
  EXPECT_EQ(report.files, 3U);
  EXPECT_EQ(tensor(report, "head.weight"), test::values_of(model.tensors.at("lm_head.weight")));
}

TEST_F(Import, ATiedHeadMayStandInTheFileIfItIsTheEmbedding) {
  ModelWriter model(Family::llama);
  model.config["tie_word_embeddings"] = true;
  model.tensors["lm_head.weight"] = model.tensors["model.embed_tokens.weight"];
  const ImportReport report = run(model, options());
  EXPECT_TRUE(report.model.tied_head);
  EXPECT_THROW(tensor(report, "head.weight"), std::runtime_error);
}

TEST_F(Import, TheYamlLoadsAndNamesTheCheckpoint) {
  const ImportReport report = run(ModelWriter(Family::qwen2_moe), options());
  const Config config = load_config(report.yaml);
  EXPECT_EQ(config.train.init_from, (folder_ / "out/run").string());
  EXPECT_EQ(config.model.moe.shared_expert_width, 56);
  EXPECT_EQ(config.model.vocab_size, 96);
}

TEST_F(Import, AnOutputThatIsThereIsKept) {
  test::write_file(folder_ / "out/run/precious", "x");
  ModelWriter(Family::llama).write(folder_ / "in");
  EXPECT_THROW(import_model(io_, options()), UserError);
  ImportOptions forced = options();
  forced.replace = true;
  EXPECT_THROW(import_model(io_, forced), UserError) << "no folder that import made";
  EXPECT_EQ(test::read_file(folder_ / "out/run/precious"), "x");
  std::filesystem::remove_all(folder_ / "out");
  import_model(io_, options());
  EXPECT_NO_THROW(import_model(io_, forced));
}

TEST_F(Import, HeadsArePooledByTheirMean) {
  const ModelWriter model(Family::qwen2);  // 2 key/value heads of width 8, with biases
  ImportOptions pooling = options();
  pooling.kv_heads = 1;
  const ImportReport report = run(model, pooling);
  EXPECT_EQ(report.model.kv_heads, 1);
  const auto wide = test::values_of(model.tensors.at("model.layers.1.self_attn.k_proj.weight"));
  const auto pooled = tensor(report, "layers.1.attention.k.weight");
  ASSERT_EQ(pooled.size(), wide.size() / 2);
  for (std::size_t i = 0; i < pooled.size(); ++i)
    ASSERT_EQ(pooled[i], (wide[i] + wide[i + pooled.size()]) / 2) << i;
  const auto bias = test::values_of(model.tensors.at("model.layers.0.self_attn.v_proj.bias"));
  const auto pooled_bias = tensor(report, "layers.0.attention.v.bias");
  ASSERT_EQ(pooled_bias.size(), 8U);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(pooled_bias[i], (bias[i] + bias[i + 8]) / 2);
  EXPECT_EQ(tensor(report, "layers.1.attention.q.weight"),
            test::values_of(model.tensors.at("model.layers.1.self_attn.q_proj.weight")));
  pooling.kv_heads = 3;
  pooling.output = folder_ / "other";
  EXPECT_THROW(import_model(io_, pooling), UserError);
}

TEST_F(Import, ADenseModelBecomesExpertsWithAFreshRouter) {
  const ModelWriter model(Family::llama);
  ImportOptions upcycling = options();
  upcycling.upcycling.experts = 3;
  const ImportReport report = run(model, upcycling);
  EXPECT_EQ(report.model.moe.experts, 3);
  const std::string mlp = "model.layers.1.mlp.";
  auto one = test::values_of(model.tensors.at(mlp + "gate_proj.weight"));
  const auto up = test::values_of(model.tensors.at(mlp + "up_proj.weight"));
  one.insert(one.end(), up.begin(), up.end());
  const auto experts = tensor(report, "layers.1.moe.experts.gate_up.weight");
  ASSERT_EQ(experts.size(), 3 * one.size());
  for (std::size_t i = 0; i < experts.size(); ++i) ASSERT_EQ(experts[i], one[i % one.size()]) << i;
  const auto router = tensor(report, "layers.1.moe.router.weight");
  EXPECT_NE(router, tensor(report, "layers.0.moe.router.weight"));
  double square = 0;
  for (const float value : router) square += value * value;
  EXPECT_NEAR(std::sqrt(square / static_cast<double>(router.size())), 0.02, 0.006) << "initializer_range";

  upcycling.upcycling.noise = 0.01;
  upcycling.output = folder_ / "noisy";
  const auto noisy = tensor(import_model(io_, upcycling), "layers.1.moe.experts.gate_up.weight");
  double sum = 0;
  for (std::size_t i = 0; i < noisy.size(); ++i) sum += std::pow(noisy[i] - experts[i], 2);
  EXPECT_NEAR(std::sqrt(sum / static_cast<double>(noisy.size())), 0.01, 0.001);
  EXPECT_NE(noisy[0] - experts[0], noisy[one.size()] - experts[one.size()]) << "each expert has its own";
}

TEST_F(Import, OnlyADenseModelIsUpcycled) {
  ImportOptions upcycling = options();
  upcycling.upcycling.experts = 3;
  ModelWriter(Family::mixtral).write(folder_ / "in");
  EXPECT_THROW(import_model(io_, upcycling), UserError);
}

}  // namespace
}  // namespace switchyard::app
