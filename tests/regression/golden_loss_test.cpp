// Whole training runs against stored curves: the same bits on every repetition and thread count, the same
// bits as the curve stored for the instruction-set level, and nearly the same on the other levels.
//
// README.md says when a curve may change; scripts/golden writes them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels/runtime/isa.h"
#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSteps = 30;
constexpr const char* kCurves[] = {"loss", "auxiliary_loss", "gradient_norm"};

struct GoldenCase {
  std::string name;
  std::vector<std::string> settings;
  /// Levels whose numbers differ.
  std::vector<kernels::Isa> levels;
  /// Named in the list of tests; the default would print addresses.
  friend void PrintTo(const GoldenCase& golden, std::ostream* out) { *out << golden.name; }
};

const std::vector<kernels::Isa> kFp32Levels = {kernels::Isa::generic, kernels::Isa::avx2,
                                               kernels::Isa::avx512};
const std::vector<kernels::Isa> kBf16Levels = {kernels::Isa::generic, kernels::Isa::avx2,
                                               kernels::Isa::avx512, kernels::Isa::avx512_bf16};

// The switches of configs/moe_sigmoid.yaml at tiny sizes.
const std::vector<std::string> kSigmoid = {
    "model.layers=3",
    "model.qk_norm=per_head",
    "model.moe.experts=8",
    "model.moe.top_k=2",
    "model.moe.expert_width=16",
    "model.moe.first_dense_layers=1",
    "model.mlp_width=48",
    "model.moe.shared_experts=1",
    "model.moe.score=sigmoid",
    "model.moe.renormalize=true",
    "model.moe.scaling_factor=1.5",
    "model.moe.groups=4",
    "model.moe.group_top_k=2",
    "model.moe.bias_balancing=true",
    "model.moe.bias_update_rate=1e-2",
    "model.moe.sequence_aux_loss=1e-3",
    "model.moe.aux_loss=0",
    "model.moe.z_loss=0",
    "train.recompute=block",
    "optimizer.schedule.kind=wsd",
    "optimizer.schedule.decay_steps=10",
};

const GoldenCase kCases[] = {
    {"softmax_aux_z", {"optimizer.schedule.kind=cosine"}, kFp32Levels},
    {"sigmoid_bias_groups_shared", kSigmoid, kFp32Levels},
    {"softmax_aux_z_bf16", {"optimizer.schedule.kind=cosine", "train.precision=bf16"}, kBf16Levels}};

std::filesystem::path golden_file(const std::string& name, std::string_view isa) {
  return std::filesystem::path(SWITCHYARD_SOURCE_DIR) /
         fmt::format("tests/regression/golden/{}.{}.json", name, isa);
}

Json stored(const std::string& name, std::string_view isa) {
  const Json golden = Json::parse(read_file(golden_file(name, isa)), nullptr, false);
  EXPECT_TRUE(golden.is_object()) << golden_file(name, isa) << " must be there; scripts/golden writes it";
  return golden;
}

/// Curves of one run, by name.
Json train(const Workshop& workshop, const GoldenCase& golden, std::string_view isa, const std::string& run,
           int threads) {
  std::vector<std::string> settings = golden.settings;
  settings.push_back(fmt::format("train.steps={}", kSteps));
  settings.push_back(fmt::format("run.threads={}", threads));
  settings.emplace_back("train.evaluate_every=0");
  // Low enough that roundings, which routing makes discrete, are not blown up within these steps.
  settings.emplace_back("optimizer.learning_rate=3e-3");
  settings.emplace_back("checkpoint.every=0");
  const Outcome outcome =
      workshop.run(Workshop::train(run, settings), {{"SWITCHYARD_ISA", std::string(isa)}});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  workshop.expect_steps_once(run, kSteps);
  Json curves;
  for (const nlohmann::json& step : workshop.steps(run))
    for (const char* curve : kCurves) curves[curve].push_back(step[curve].get<double>());
  return curves;
}

/// Texts, so that a difference in the last bit is one: shortest decimals that read back to the same double.
void expect_same_text(const Json& curves, const Json& expected, const std::string& what) {
  for (const char* curve : kCurves) EXPECT_EQ(curves[curve].dump(), expected[curve].dump()) << what;
}

void store(const GoldenCase& golden, std::string_view isa, const Json& curves, const std::string& reason) {
  Json file = {{"case", golden.name}, {"isa", isa}, {"reason", reason}};
  for (const char* curve : kCurves) file[curve] = curves[curve];
  write_file(golden_file(golden.name, isa), file.dump(1) + "\n");
}

using CaseAtLevel = std::pair<GoldenCase, kernels::Isa>;

std::vector<CaseAtLevel> all_cases() {
  std::vector<CaseAtLevel> all;
  for (const GoldenCase& golden : kCases)
    for (const kernels::Isa level : golden.levels) all.emplace_back(golden, level);
  return all;
}

class GoldenLoss : public testing::TestWithParam<CaseAtLevel> {};

TEST_P(GoldenLoss, IsTheStoredCurveOnEveryRepetitionAndThreadCount) {
  const auto& [golden, level] = GetParam();
  if (!std::ranges::count(kernels::available_isas(), level))
    GTEST_SKIP() << "this processor has no " << kernels::isa_name(level);
  const std::string_view isa = kernels::isa_name(level);
  const Workshop workshop;
  const Json first = train(workshop, golden, isa, "first", 1);
  expect_same_text(train(workshop, golden, isa, "again", 1), first, "the same run again");
  expect_same_text(train(workshop, golden, isa, "threads", 2), first, "two threads");
  EXPECT_LT(first["loss"].back().get<double>(), first["loss"].front().get<double>() - 1) << "it must learn";
  if (const char* reason = std::getenv("SWITCHYARD_GOLDEN_REASON"); reason != nullptr && *reason != '\0')
    store(golden, isa, first, reason);
  expect_same_text(first, stored(golden.name, isa), "the stored curve; see tests/regression/README.md");
}

INSTANTIATE_TEST_SUITE_P(Levels, GoldenLoss, testing::ValuesIn(all_cases()), [](const auto& suite) {
  return suite.param.first.name + "_" + std::string(kernels::isa_name(suite.param.second));
});

TEST(GoldenCurves, AreNearlyTheSameOnAllLevels) {
  constexpr double kTolerance = 1e-3;
  for (const GoldenCase& golden : kCases) {
    const Json generic = stored(golden.name, "generic");
    ASSERT_EQ(generic["loss"].size(), kSteps);
    for (const kernels::Isa level : golden.levels) {
      const std::string_view isa = kernels::isa_name(level);
      const Json other = stored(golden.name, isa);
      ASSERT_EQ(other["loss"].size(), kSteps);
      for (std::size_t step = 0; step < kSteps; ++step) {
        const auto expected = generic["loss"][step].get<double>();
        EXPECT_NEAR(other["loss"][step].get<double>(), expected, kTolerance * expected)
            << golden.name << " on " << isa << ", step " << step + 1;
      }
    }
  }
}

}  // namespace
}  // namespace switchyard::test
