// Our model, made of a family's config.json and tensors, computes what transformers computes: logits, losses
// and every gradient, past every window and scaling limit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/app/parity/parity_model.h"

namespace switchyard::test {
namespace {

TEST(Parity, CoversEveryFamilyInManyConfigurations) {
  std::set<std::string> families, configurations;
  for (const ParityCase& stored : parity_cases()) {
    families.insert(stored.config.at("model_type").get<std::string>());
    configurations.insert(stored.config.dump());
  }
  EXPECT_EQ(families.size(), 8U);
  EXPECT_GE(configurations.size(), 64U);
}

class ParityTest : public testing::TestWithParam<ParityCase> {};

TEST_P(ParityTest, LogitsLossesAndGradientsAreThoseOfTransformers) {
  const ParityCase& stored = GetParam();
  const Imported imported = import_case(stored);
  const Distance far = distance(stored, imported);
  EXPECT_LE(far.logits, 1e-5) << stored.config;
  EXPECT_LE(far.gradient, 1e-4) << far.worst_gradient << " " << stored.config;
  EXPECT_LE(far.cross_entropy, 4e-7 * stored.cross_entropy + 1e-7);
  EXPECT_LE(far.auxiliary, 4e-7 * stored.auxiliary + 1e-7);
  EXPECT_LE(far.loss, 4e-7 * stored.loss + 1e-7);
  EXPECT_EQ(far.gradients, imported.pieces.size());
  EXPECT_TRUE(far.is_close());
}

std::string case_name(const testing::TestParamInfo<ParityCase>& info) {
  return info.param.name;
}
INSTANTIATE_TEST_SUITE_P(Models, ParityTest, testing::ValuesIn(parity_cases()), case_name);

// Says how near, beside how near it must be.
TEST(Parity, WorstDistances) {
  Distance worst;
  for (const ParityCase& stored : parity_cases()) {
    const Distance far = distance(stored, import_case(stored));
    worst.logits = std::max(worst.logits, far.logits);
    worst.gradient = std::max(worst.gradient, far.gradient);
    worst.auxiliary = std::max(worst.auxiliary, far.auxiliary);
    worst.loss = std::max(worst.loss, far.loss);
  }
  fmt::print(
      "{} models: logits {:.1e} absolute, gradients {:.1e} relative, auxiliary loss {:.1e}, loss {:.1e}\n",
      parity_cases().size(), worst.logits, worst.gradient, worst.auxiliary, worst.loss);
  EXPECT_TRUE(worst.is_close());
}

}  // namespace
}  // namespace switchyard::test
