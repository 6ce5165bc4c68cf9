#include "moe/model/parameters.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>

#include "moe/model/cost.h"
#include "parallel/communicators/local.h"
#include "tests/moe/support/tiny_model.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using moe::ModelConfig;
using moe::ParameterGroup;
using moe::ParameterSpec;
using moe::Role;
using ::testing::ElementsAre;

std::string text(const ParameterSpec& spec) {
  std::string shape;
  for (const std::int64_t extent : spec.shape) shape += (shape.empty() ? "" : ",") + std::to_string(extent);
  return spec.name + " (" + shape + ")" + (moe::has_weight_decay(spec.role) ? " decays" : "") +
         (spec.is_expert ? " split" : "");
}

std::vector<std::string> texts(const ModelConfig& config) {
  std::vector<std::string> lines;
  for (const ParameterSpec& spec : moe::parameter_specs(config)) lines.push_back(text(spec));
  return lines;
}

TEST(ParameterSpecs, NameShapeAndDecayOfEveryTensorInOrder) {
  ModelConfig config = moe_config();
  config.kv_heads = 1;
  config.moe.first_dense_layers = 1;
  config.moe.shared_experts = 2;
  config.moe.shared_expert_gate = true;
  config.attention_bias = true;
  config.qk_norm = moe::QkNorm::full_width;
  EXPECT_THAT(
      texts(config),
      ElementsAre(
          "embedding.weight (13,8)",  //
          "layers.0.attention_norm.weight (8)", "layers.0.attention.q.weight (8,8) decays",
          "layers.0.attention.k.weight (4,8) decays", "layers.0.attention.v.weight (4,8) decays",
          "layers.0.attention.q.bias (8)", "layers.0.attention.k.bias (4)", "layers.0.attention.v.bias (4)",
          "layers.0.attention.q_norm.weight (8)", "layers.0.attention.k_norm.weight (4)",
          "layers.0.attention.output.weight (8,8) decays", "layers.0.mlp_norm.weight (8)",
          "layers.0.mlp.gate_up.weight (12,8) decays", "layers.0.mlp.down.weight (8,6) decays",
          "layers.1.attention_norm.weight (8)", "layers.1.attention.q.weight (8,8) decays",
          "layers.1.attention.k.weight (4,8) decays", "layers.1.attention.v.weight (4,8) decays",
          "layers.1.attention.q.bias (8)", "layers.1.attention.k.bias (4)", "layers.1.attention.v.bias (4)",
          "layers.1.attention.q_norm.weight (8)", "layers.1.attention.k_norm.weight (4)",
          "layers.1.attention.output.weight (8,8) decays", "layers.1.mlp_norm.weight (8)",
          "layers.1.moe.router.weight (6,8) decays",
          "layers.1.moe.experts.gate_up.weight (6,8,8) decays split",
          "layers.1.moe.experts.down.weight (6,8,4) decays split",
          "layers.1.moe.shared.gate_up.weight (16,8) decays", "layers.1.moe.shared.down.weight (8,8) decays",
          "layers.1.moe.shared_gate.weight (1,8) decays", "final_norm.weight (8)",
          "head.weight (13,8) decays"));
}

TEST(ParameterSpecs, PerHeadNormsAndATiedHead) {
  ModelConfig config = dense_config();
  config.layers = 1;
  config.tied_head = true;
  config.qk_norm = moe::QkNorm::per_head;
  EXPECT_THAT(
      texts(config),
      ElementsAre("embedding.weight (13,8)", "layers.0.attention_norm.weight (8)",
                  "layers.0.attention.q.weight (8,8) decays", "layers.0.attention.k.weight (8,8) decays",
                  "layers.0.attention.v.weight (8,8) decays", "layers.0.attention.q_norm.weight (4)",
                  "layers.0.attention.k_norm.weight (4)", "layers.0.attention.output.weight (8,8) decays",
                  "layers.0.mlp_norm.weight (8)", "layers.0.mlp.gate_up.weight (12,8) decays",
                  "layers.0.mlp.down.weight (8,6) decays", "final_norm.weight (8)"));
}

TEST(ModelConfig, SaysWhichLayersHoldExperts) {
  ModelConfig config = moe_config();
  config.layers = 8;
  config.moe.first_dense_layers = 2;
  config.moe.every = 3;
  std::vector<std::int64_t> layers;
  for (std::int64_t l = 0; l < config.layers; ++l)
    if (moe::is_moe_layer(config, l)) layers.push_back(l);
  EXPECT_THAT(layers, ElementsAre(4, 7));
  config.moe.experts = 0;
  EXPECT_FALSE(moe::is_moe_layer(config, 4));
}

TEST(ModelConfig, FillsInWidths) {
  ModelConfig config = moe_config();
  config.width = 256;
  config.mlp_width = 0;
  EXPECT_EQ(moe::dense_width(config), 704);  // 682.67 up to a multiple of 32
  config.moe.expert_width = {10, 20};
  EXPECT_EQ(moe::shared_width(config, 1), 0);
  config.moe.shared_experts = 3;
  EXPECT_EQ(moe::shared_width(config, 1), 60);
  config.moe.shared_expert_width = 7;
  EXPECT_EQ(moe::shared_width(config, 1), 21);
  EXPECT_EQ(moe::head_width(config), 128);
  config.head_width = 32;
  EXPECT_EQ(moe::head_width(config), 32);
}

TEST(ModelCost, CountsWhatATokenMeets) {
  ModelConfig config = moe_config();
  config.moe.first_dense_layers = 1;
  // embedding and head 104 each, attention 4 * 64, norms 8, dense MLP 144, router 48, experts 6 * 96.
  const moe::ModelCost cost = moe::model_cost(config, 10);
  EXPECT_EQ(cost.parameters, 2 * 104 + 2 * 256 + 5 * 8 + 144 + 48 + 576);
  EXPECT_EQ(cost.active_parameters, cost.parameters - 4 * 96);
  EXPECT_DOUBLE_EQ(cost.train_flops_per_token,
                   6.0 * (104 + 2 * 256 + 144 + 48 + 2 * 96) + 12.0 * 2 * 8 * 10 / 2);
}

TEST(ModelCost, CountsTheKeysInsideEachLayersWindow) {
  ModelConfig config = dense_config();
  const double all = moe::model_cost(config, 10).train_flops_per_token;
  config.sliding_window = {4, 0};  // 4 - 16 / 20 keys instead of 10 / 2
  EXPECT_DOUBLE_EQ(moe::model_cost(config, 10).train_flops_per_token, all - 12.0 * 8 * (5 - 3.2));
  config.sliding_window = {10, 12};
  EXPECT_DOUBLE_EQ(moe::model_cost(config, 10).train_flops_per_token, all);
}

TEST(Layers, DenseOnesCanBeListed) {
  ModelConfig config = moe_config();
  config.layers = 6;
  config.moe.every = 2;
  config.moe.dense_layers = {3, 4};
  EXPECT_TRUE(moe::is_moe_layer(config, 1));
  EXPECT_FALSE(moe::is_moe_layer(config, 3));
  EXPECT_FALSE(moe::is_moe_layer(config, 4));
  EXPECT_TRUE(moe::is_moe_layer(config, 5));
  EXPECT_EQ(moe::moe_layer_count(config), 2);
}

// The group's values by tensor, of run `rank` of `ranks`.
struct Initialised {
  Initialised(const ModelConfig& config, bool experts, std::int64_t rank, std::int64_t ranks, int threads = 1,
              std::uint64_t seed = 5)
      : context(threads),
        world(parallel::single_rank()),
        group(moe::parameter_specs(config), experts, rank, ranks, *world, 1, config.activation, context) {
    moe::initialize(context, group, config, seed);
  }
  kernels::Context context;
  std::unique_ptr<parallel::Communicator> world;
  ParameterGroup group;
};

TEST(Initialisation, DoesNotDependOnTheSplitOfExperts) {
  const ModelConfig config = moe_config();
  Initialised whole(config, true, 0, 1);
  ASSERT_EQ(whole.group.parameters().size(), 4U);
  for (const std::int64_t ranks : {2, 3, 6}) {
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      Initialised part(config, true, rank, ranks);
      for (const moe::Parameter& parameter : part.group.parameters()) {
        const std::int64_t experts = 6 / ranks;
        EXPECT_EQ(parameter.global_begin, rank * parameter.elements());
        EXPECT_TRUE(same_bits(parameter.weight,
                              whole.group.find(parameter.spec.name).weight.rows(rank * experts, experts)))
            << parameter.spec.name << " of rank " << rank << " of " << ranks;
      }
    }
  }
}

TEST(Initialisation, DependsOnSeedAndNameOnly) {
  const ModelConfig config = moe_config();
  Initialised one(config, false, 0, 1, 1), two(config, false, 0, 1, 2), other(config, false, 0, 1, 1, 6);
  EXPECT_TRUE(same_bits(one.group.weights(), two.group.weights()));
  const auto weight = [](Initialised& from, const char* name) { return from.group.find(name).weight; };
  EXPECT_FALSE(same_bits(weight(one, "head.weight"), weight(other, "head.weight")));
  EXPECT_FALSE(same_bits(weight(one, "head.weight"), weight(one, "embedding.weight")));
  Initialised experts(config, true, 0, 1);
  const TensorView down = weight(experts, "layers.0.moe.experts.down.weight");
  EXPECT_FALSE(same_bits(down.at(0), down.at(1)));
}

double deviation(ConstTensorView weight) {
  double squares = 0;
  for (const double value : values_of(weight)) squares += value * value;
  return std::sqrt(squares / static_cast<double>(weight.elements()));
}

TEST(Initialisation, HasTheStatedDeviations) {
  ModelConfig config = moe_config();
  config.width = 64;
  config.heads = 4;
  config.kv_heads = 4;
  config.attention_bias = true;
  config.init_std = 0.04;
  Initialised model(config, false, 0, 1);
  const auto of = [&](const char* name) { return model.group.find(name).weight; };
  EXPECT_NEAR(deviation(of("layers.1.attention.q.weight")), 0.04, 0.002);
  EXPECT_NEAR(deviation(of("embedding.weight")), 0.04, 0.003);
  EXPECT_NEAR(deviation(of("layers.1.moe.router.weight")), 0.04, 0.004);
  EXPECT_NEAR(deviation(of("layers.1.attention.output.weight")), 0.02, 0.001);  // / sqrt(2 * 2 layers)
  EXPECT_THAT(values_of(of("final_norm.weight")), ::testing::Each(1.0));
  EXPECT_THAT(values_of(of("layers.0.attention.k.bias")), ::testing::Each(0.0));
}

ModelConfig bf16_config() {
  ModelConfig config = moe_config();
  config.width = 40;  // tensors of more than one run of the norm, so that shards cut them
  config.kv_heads = 1;
  config.attention_bias = true;
  config.moe.shared_experts = 1;
  config.moe.shared_expert_gate = true;
  config.activation = DType::bf16;
  return config;
}

TEST(ParameterGroup, OfBf16KeepsWhatDecidesAndScalesInF32) {
  const ModelConfig config = bf16_config();
  for (const bool experts : {false, true}) {
    Initialised model(config, experts, 0, 1);
    for (const moe::Parameter& parameter : model.group.parameters()) {
      const std::string& name = parameter.spec.name;
      const bool is_f32 = name.ends_with("norm.weight") || name.ends_with(".bias") ||
                          name.ends_with("router.weight") || name.ends_with("shared_gate.weight");
      EXPECT_EQ(parameter.weight.dtype(), is_f32 ? DType::f32 : DType::bf16) << name;
    }
  }
}

TEST(Initialisation, InBf16RoundsTheSameMasters) {
  ModelConfig config = bf16_config();
  for (const bool experts : {false, true}) {
    for (const int threads : {1, 2}) {
      Initialised narrow(config, experts, 1, experts ? 2 : 1, threads);
      ModelConfig wide_config = config;
      wide_config.activation = DType::f32;
      Initialised wide(wide_config, experts, 1, experts ? 2 : 1);
      ASSERT_TRUE(narrow.group.has_masters());
      ASSERT_FALSE(wide.group.has_masters());
      for (const parallel::ShardPiece& piece : narrow.group.layout().pieces(0))
        EXPECT_TRUE(same_bits(narrow.group.master(piece), wide.group.weight(piece)));
      for (const moe::Parameter& parameter : narrow.group.parameters()) {
        const TensorView exact = wide.group.find(parameter.spec.name).weight;
        if (parameter.weight.dtype() == DType::f32)
          EXPECT_TRUE(same_bits(parameter.weight, exact)) << parameter.spec.name;
        else
          EXPECT_TRUE(same_bits(parameter.weight, as_bf16(exact))) << parameter.spec.name;
      }
    }
  }
}

// Owners write their masters; afterwards every rank computes with all of them, rounded.
TEST(ParameterGroup, MastersOfAllOwnersReachEveryRankRounded) {
  for (const int ranks : {1, 2, 3, 5}) {
    parallel::run_local(ranks, [&](parallel::Communicator& world) {
      const ModelConfig config = bf16_config();
      kernels::Context context(1);
      ParameterGroup group(moe::parameter_specs(config), false, 0, 1, world, 1, config.activation, context);
      const auto value = [](std::int64_t tensor, std::int64_t element) {
        return static_cast<float>(tensor) + static_cast<float>(element) * 0.001F;
      };
      for (const parallel::ShardPiece& piece : group.layout().pieces(world.rank()))
        for (std::int64_t i = 0; i < piece.elements(); ++i)
          group.master(piece).data<float>()[i] = value(piece.tensor, piece.begin + i);
      group.round_masters(context);
      for (std::size_t p = 0; p < group.parameters().size(); ++p) {
        const TensorView weight = group.parameters()[p].weight;
        const std::vector<double> actual = values_of(weight);
        for (std::size_t i = 0; i < actual.size(); ++i) {
          const float exact = value(static_cast<std::int64_t>(p), static_cast<std::int64_t>(i));
          const float expected = weight.dtype() == DType::f32 ? exact : static_cast<float>(BFloat16(exact));
          ASSERT_EQ(actual[i], static_cast<double>(expected))
              << group.parameters()[p].spec.name << " " << i << " on rank " << world.rank();
        }
      }
    });
  }
}

TEST(ParameterGroup, RefusesWhatItDoesNotHold) {
  Initialised dense(moe_config(), false, 0, 1);
  EXPECT_TRUE(dense.group.holds("head.weight"));
  EXPECT_FALSE(dense.group.holds("layers.0.moe.experts.down.weight"));
  EXPECT_THROW(dense.group.find("layers.0.moe.experts.down.weight"), InternalError);
  EXPECT_THROW(Initialised(moe_config(), true, 0, 4), InternalError);  // 6 experts over 4 ranks
}

}  // namespace
}  // namespace switchyard::test
