#include "app/hugging_face/family/dense_layers.h"

#include <gtest/gtest.h>

namespace switchyard::app {
namespace {

TEST(DenseLayers, EveryRuleOfOursComesBack) {
  for (std::int64_t layers = 1; layers <= 8; ++layers)
    for (std::int64_t first = 0; first <= layers; ++first)
      for (std::int64_t every = 1; every <= layers + 1; ++every) {
        moe::ModelConfig model;
        model.layers = layers;
        model.moe.experts = 4;
        model.moe.first_dense_layers = first;
        model.moe.every = every;
        const DenseLayers theirs = from_our_rule(model);
        moe::ModelConfig back = model;
        to_our_rule(theirs, back.moe);
        EXPECT_TRUE(back.moe.dense_layers.empty()) << layers << " " << first << " " << every;
        for (std::int64_t l = 0; l < layers; ++l) {
          EXPECT_EQ(theirs.is_sparse(l), moe::is_moe_layer(model, l))
              << layers << " " << first << " " << every;
          EXPECT_EQ(moe::is_moe_layer(back, l), moe::is_moe_layer(model, l));
        }
      }
}

TEST(DenseLayers, AnyPatternIsSaidExactlyAndComesBack) {
  constexpr std::int64_t kLayers = 7;
  int listed = 0;
  for (int pattern = 0; pattern < 1 << kLayers; ++pattern) {
    DenseLayers theirs;
    theirs.layers = kLayers;
    for (int l = 0; l < kLayers; ++l)
      if ((pattern >> l & 1) == 0) theirs.dense.insert(l);
    moe::ModelConfig model;
    model.layers = kLayers;
    model.moe.experts = 4;
    model.moe.dense_layers = {5};  // of an earlier use
    to_our_rule(theirs, model.moe);
    const DenseLayers back = from_our_rule(model);
    for (std::int64_t l = 0; l < kLayers; ++l) {
      EXPECT_EQ(moe::is_moe_layer(model, l), theirs.is_sparse(l)) << pattern << " " << l;
      EXPECT_EQ(back.is_sparse(l), theirs.is_sparse(l)) << pattern << " " << l;
    }
    listed += model.moe.dense_layers.empty() ? 0 : 1;
  }
  EXPECT_GT(listed, 10);
  EXPECT_LT(listed, 1 << kLayers);
}

TEST(DenseLayers, AListIsSaidBesideAStep) {
  moe::MoeConfig moe;
  to_our_rule({8, 2, {3, 5, 11}}, moe);
  EXPECT_EQ(moe.every, 2);
  EXPECT_EQ(moe.first_dense_layers, 0);
  EXPECT_EQ(moe.dense_layers, (std::vector<std::int64_t>{3, 5}));
}

}  // namespace
}  // namespace switchyard::app
