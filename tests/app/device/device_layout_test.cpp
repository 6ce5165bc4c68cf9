// What `switchyard verify` compares, with run.device: cuda, on the device's stand-in. Its sizes are made
// smaller still: the stand-in is slow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/config/load.h"
#include "app/train/rank_device.h"
#include "app/verify/verify.h"
#include "parallel/communicators/local.h"
#include "tests/support/cuda_on_host/control.h"

namespace switchyard::test {
namespace {

app::Config small_config() {
  app::Config small = app::scaled_down(app::load_config(SWITCHYARD_SOURCE_DIR "/configs/tiny.yaml"));
  small.run.device = app::DeviceChoice::cuda;
  small.model.layers = 1;
  small.data.sequence_length = 6;
  small.train.micro_batch = 1;
  small.train.global_batch = 2;
  return small;
}

TEST(DeviceVerify, LayoutsAndResumingGiveTheBitsOfOneRankOnTheDevice) {
  const std::int64_t before = cuda_on_host::counters().kernels;
  const std::vector<app::VerifyCase> cases = {{"2 ranks", {2, 2, 1}}, {"resumed", {2, 1, 1, false, 0, 2}}};
  const auto verdicts = app::verify_on_threads(small_config(), cases, {}, [](const app::Verdict&) {});
  ASSERT_EQ(verdicts.size(), 2U);
  for (const app::Verdict& verdict : verdicts) EXPECT_EQ(verdict.difference, "") << verdict.tried.name;
  EXPECT_GT(cuda_on_host::counters().kernels, before);
}

TEST(DeviceVerify, TellsARankWithOtherWeights) {
  app::LayoutHooks hooks;
  hooks.seed = [](std::int64_t seed, int rank) { return seed + rank; };
  const std::vector<app::VerifyCase> cases = {{"2 ranks", {2, 2, 1}}};
  const auto verdicts = app::verify_on_threads(small_config(), cases, hooks, [](const app::Verdict&) {});
  EXPECT_NE(verdicts.at(0).difference, "");
}

}  // namespace
}  // namespace switchyard::test
