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
        ASSERT_TRUE(to_our_rule(theirs, back.moe)) << layers << " " << first << " " << every;
        for (std::int64_t l = 0; l < layers; ++l) {
          EXPECT_EQ(theirs.is_sparse(l), moe::is_moe_layer(model, l))
              << layers << " " << first << " " << every;
          EXPECT_EQ(moe::is_moe_layer(back, l), moe::is_moe_layer(model, l));
        }
      }
}

TEST(DenseLayers, AnyPatternIsEitherSaidExactlyOrRefused) {
  constexpr std::int64_t kLayers = 7;
  int said = 0;
  for (int pattern = 0; pattern < 1 << kLayers; ++pattern) {
    DenseLayers theirs;
    theirs.layers = kLayers;
    for (int l = 0; l < kLayers; ++l)
      if ((pattern >> l & 1) == 0) theirs.dense.insert(l);
    bool is_sayable = false;
    for (std::int64_t first = 0; first <= kLayers && !is_sayable; ++first)
      for (std::int64_t every = 1; every <= kLayers && !is_sayable; ++every) {
        moe::ModelConfig model;
        model.moe.experts = 4;
        model.moe.first_dense_layers = first;
        model.moe.every = every;
        is_sayable = true;
        for (int l = 0; l < kLayers; ++l)
          is_sayable &= moe::is_moe_layer(model, l) == ((pattern >> l & 1) != 0);
      }
    moe::MoeConfig moe;
    EXPECT_EQ(to_our_rule(theirs, moe), is_sayable) << pattern;
    said += is_sayable ? 1 : 0;
  }
  EXPECT_GT(said, 10);
}

}  // namespace
}  // namespace switchyard::app
