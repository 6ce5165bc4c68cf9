// The rules that no file under broken/ can show: what is allowed although it looks odd, and the layout of
// ranks.
#include "app/config/rules.h"

#include <gtest/gtest.h>

#include "app/config/load.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {
namespace {

Config with(const std::vector<std::string>& overrides) {
  return parse_config("data: {train: d}\n", "run.yaml", overrides);
}

TEST(Rules, AllowWhatIsMeaningful) {
  const std::vector<std::string> moe = {"model.moe.experts=8", "model.moe.expert_width=16"};
  const std::vector<std::vector<std::string>> cases = {
      {"model.moe.bias_balancing=true"},  // with softmax too: users ask for it
      {"model.moe.bias_balancing=true", "model.moe.score=sigmoid"},
      {"model.moe.top_k=8"},
      {"model.moe.top_k=1", "model.moe.renormalize=false"},
      {"model.moe.top_k=1", "model.moe.score=sigmoid"},
      {"model.moe.groups=4", "model.moe.group_top_k=1", "model.moe.top_k=2"},
      {"model.moe.first_dense_layers=5"},
      {"model.moe.every=6"},
      {"model.moe.capacity_factor=1.25", "model.moe.drop_policy=position"},
      {"parallel.expert=8"},
      {"optimizer.schedule.kind=wsd", "optimizer.schedule.warmup_steps=800", "train.steps=1000"},
      {"checkpoint.every=100", "checkpoint.keep_every=300"},
      {"train.evaluate_every=0"}};
  for (auto overrides : cases) {
    overrides.insert(overrides.begin(), moe.begin(), moe.end());
    EXPECT_NO_THROW(with(overrides)) << overrides[2];
  }
  EXPECT_NO_THROW(with({"model.width=100", "model.heads=3", "model.head_width=32"}));
  EXPECT_NO_THROW(with({"model.moe.experts=0", "model.moe.expert_width=16"})) << "an ablation of a MoE file";
}

std::string layout_message(const Config& config, std::int64_t ranks) {
  try {
    check_layout(config, ranks);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Layout, RanksMustBeAMultipleOfTheExpertAxis) {
  const Config config = with({"model.moe.experts=8", "model.moe.expert_width=16", "parallel.expert=4"});
  EXPECT_EQ(layout_message(config, 4), "");
  EXPECT_EQ(layout_message(config, 12), "");
  EXPECT_EQ(layout_message(config, 6),
            "parallel.expert must divide the number of ranks; got parallel.expert 4 with 6 ranks; start 4 or "
            "8 ranks, "
            "or --set parallel.expert=1 or 2");
  EXPECT_EQ(
      layout_message(config, 1),
      "parallel.expert must divide the number of ranks; got parallel.expert 4 with 1 ranks; start 4 ranks, "
      "or --set parallel.expert=1");
  EXPECT_NE(layout_message(config, 0), "");
}

TEST(Layout, PossibleAxesDivideRanksAndExperts) {
  const Config config = with({"model.moe.experts=12", "model.moe.expert_width=16"});
  EXPECT_EQ(possible_expert_axes(config, 8), (std::vector<std::int64_t>{1, 2, 4}));
  EXPECT_EQ(possible_expert_axes(with({}), 8), (std::vector<std::int64_t>{1}));
}

}  // namespace
}  // namespace switchyard::app
