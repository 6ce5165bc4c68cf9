#include "app/hugging_face/tensors/pieces.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "app/hugging_face/family/read_config.h"
#include "kernels/runtime/error.h"
#include "moe/model/parameters.h"
#include "tests/app/hugging_face/folders.h"

namespace switchyard::app {
namespace {

TEST(TensorPieces, NamesAndShapesAreThoseThatTransformersWrites) {
  for (const FamilyTraits& family : families()) {
    const auto written = test::written_tensors(family);
    ASSERT_GT(written.size(), 20U) << family.model_type;
    const moe::ModelConfig model = read_model_description(test::written_config(family), "config.json").model;
    std::map<std::string, std::vector<std::int64_t>> ours;
    for (const TensorPiece& piece : tensor_pieces(family, model, model.vocab_size))
      ours[piece.name] = piece.shape;
    EXPECT_EQ(ours, written) << family.model_type;
  }
}

TEST(TensorPieces, CoverEachElementOfOurTensorsOnce) {
  for (const FamilyTraits& family : families()) {
    const moe::ModelConfig model = read_model_description(test::written_config(family), "config.json").model;
    std::map<std::string, std::vector<std::pair<std::int64_t, std::int64_t>>> ranges;
    for (const TensorPiece& piece : tensor_pieces(family, model, model.vocab_size)) {
      std::int64_t elements = 1;
      for (const std::int64_t dim : piece.shape) elements *= dim;
      EXPECT_EQ(piece.end - piece.begin, elements) << piece.name;
      ranges[piece.tensor].emplace_back(piece.begin, piece.end);
    }
    for (const moe::ParameterSpec& spec : moe::parameter_specs(model)) {
      std::int64_t elements = 1, reached = 0;
      for (const std::int64_t dim : spec.shape) elements *= dim;
      auto& own = ranges[spec.name];
      std::sort(own.begin(), own.end());
      for (const auto& [begin, end] : own) {
        EXPECT_EQ(begin, reached) << family.model_type << " " << spec.name;
        reached = end;
      }
      EXPECT_EQ(reached, elements) << family.model_type << " " << spec.name;
    }
    EXPECT_EQ(ranges.size(), moe::parameter_specs(model).size()) << family.model_type;
  }
}

TEST(TensorPieces, GateStandsBeforeUpAndExpertsFollowOneAnother) {
  moe::ModelConfig model;
  model.layers = 1;
  model.width = 4;
  model.heads = 2;
  model.kv_heads = 2;
  model.moe.experts = 3;
  model.moe.expert_width = {5};
  std::map<std::string, std::pair<std::string, std::int64_t>> begins;
  for (const TensorPiece& piece : tensor_pieces(traits_of(Family::mixtral), model, model.vocab_size))
    begins[piece.name] = {piece.tensor, piece.begin};
  const std::string prefix = "model.layers.0.block_sparse_moe.experts.";
  const std::string gate_up = "layers.0.moe.experts.gate_up.weight",
                    down = "layers.0.moe.experts.down.weight";
  EXPECT_EQ(begins[prefix + "0.w1.weight"], std::pair(gate_up, std::int64_t{0}));
  EXPECT_EQ(begins[prefix + "0.w3.weight"], std::pair(gate_up, std::int64_t{20}));
  EXPECT_EQ(begins[prefix + "2.w1.weight"], std::pair(gate_up, std::int64_t{80}));
  EXPECT_EQ(begins[prefix + "2.w3.weight"], std::pair(gate_up, std::int64_t{100}));
  EXPECT_EQ(begins[prefix + "2.w2.weight"], std::pair(down, std::int64_t{40}));
}

TEST(TensorPieces, PaddingOfTheVocabularyIsLeftOut) {
  moe::ModelConfig model;
  model.vocab_size = 320;
  model.layers = 1;
  const auto pieces = tensor_pieces(traits_of(Family::llama), model, 257);
  for (const TensorPiece& piece : pieces)
    if (piece.name == "lm_head.weight" || piece.name == "model.embed_tokens.weight") {
      EXPECT_EQ(piece.shape, (std::vector<std::int64_t>{257, model.width}));
      EXPECT_EQ(piece.end, 257 * model.width);
    }
}

TEST(TensorPieces, AHostileNumberOfTensorsIsRefusedBeforeItIsListed) {
  moe::ModelConfig model;
  model.layers = 2'000'000'000;
  model.moe.experts = 2'000'000'000;
  EXPECT_THROW(tensor_pieces(traits_of(Family::mixtral), model, 257), DataError);
}

}  // namespace
}  // namespace switchyard::app
