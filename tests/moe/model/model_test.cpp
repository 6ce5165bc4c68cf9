#include "moe/model/model.h"

#include <algorithm>

#include "tests/moe/support/tiny_model.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

constexpr std::int64_t kSequences = 3, kLength = 5;

// Losses, statistics and sums of one unit.
struct Trained {
  moe::UnitResult result;
  NamedValues<double> gradients;
};

void expect_same(const Trained& a, const Trained& b) {
  EXPECT_EQ(a.result.loss, b.result.loss);
  EXPECT_EQ(a.gradients, b.gradients);
  ASSERT_EQ(a.result.routing.size(), b.result.routing.size());
  for (std::size_t m = 0; m < a.result.routing.size(); ++m) {
    const moe::RoutingStatistics &x = a.result.routing[m], &y = b.result.routing[m];
    EXPECT_EQ(x.load, y.load);
    EXPECT_EQ(x.dropped, y.dropped);
    EXPECT_EQ(x.entropy, y.entropy);
    EXPECT_EQ(x.aux_loss, y.aux_loss);
    EXPECT_EQ(x.sequence_aux_loss, y.sequence_aux_loss);
    EXPECT_EQ(x.z_loss, y.z_loss);
  }
}

class ModelTest : public testing::TestWithParam<TinyCase> {
 protected:
  Trained train(const ReferenceUnit& unit, moe::Recompute recompute, int threads = 1) {
    TinyModel tiny(GetParam().config, GetParam().seed, tiny_limits(kSequences, kLength), threads);
    tiny.model.clear_gradients();
    Trained trained;
    trained.result = tiny.model.train_unit(tiny.context, UnitTensors(unit).input(), recompute);
    trained.gradients = tiny.gradients();
    return trained;
  }
  ReferenceUnit unit() const { return random_unit(GetParam().config, kSequences, kLength, 5); }
};

TEST_P(ModelTest, RecomputationAndThreadsChangeNoBit) {
  const Trained kept = train(unit(), moe::Recompute::none);
  expect_same(train(unit(), moe::Recompute::block), kept);
  expect_same(train(unit(), moe::Recompute::block, 2), kept);
}

TEST_P(ModelTest, AUnitWithoutRowsAddsNothing) {
  for (const moe::Recompute recompute : {moe::Recompute::none, moe::Recompute::block}) {
    const Trained empty = train(random_unit(GetParam().config, 0, kLength, 5), recompute);
    EXPECT_EQ(empty.result.loss, 0.0);
    for (const auto& [name, values] : empty.gradients)
      EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](double g) { return g == 0; })) << name;
    for (const moe::RoutingStatistics& routing : empty.result.routing)
      EXPECT_EQ(routing.load, std::vector<std::int64_t>(routing.load.size(), 0));
  }
}

TEST_P(ModelTest, EvaluationLeavesTheSumsAlone) {
  TinyModel tiny(GetParam().config, GetParam().seed, tiny_limits(kSequences, kLength));
  tiny.model.clear_gradients();
  const UnitTensors tensors(unit());
  const Trained trained = train(unit(), moe::Recompute::none);
  EXPECT_EQ(tiny.model.evaluate_unit(tiny.context, tensors.input()).loss, trained.result.loss);
  for (const auto& [name, values] : tiny.gradients())
    EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](double g) { return g == 0; })) << name;
}

TEST_P(ModelTest, SumsOfUnitsAddUpExactly) {
  TinyModel tiny(GetParam().config, GetParam().seed, tiny_limits(kSequences, kLength, 2));
  const auto sums = [&](const std::vector<std::uint64_t>& units) {
    tiny.model.clear_gradients();
    for (const std::uint64_t u : units)
      tiny.model.train_unit(tiny.context,
                            UnitTensors(random_unit(GetParam().config, kSequences, kLength, u)).input(),
                            moe::Recompute::none);
    return tiny.gradients();
  };
  EXPECT_EQ(sums({1, 2}), sums({2, 1}));
  NamedValues<double> one = sums({1}), two = sums({2});
  const NamedValues<double> both = sums({1, 2});
  for (auto& [name, values] : one) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += two[name][i];
    EXPECT_EQ(values, both.at(name)) << name;
  }
}

// A capacity would couple the rows of a unit.
class DroplessModelTest : public ModelTest {};

TEST_P(DroplessModelTest, SequencesOfAUnitAreIndependent) {
  TinyModel tiny(GetParam().config, GetParam().seed, tiny_limits(kSequences, kLength));
  // Only the targets of one sequence count, so that the loss is its alone (over the rows of all).
  for (std::int64_t kept = 0; kept < kSequences; ++kept) {
    ReferenceUnit many = unit();
    many.targets[0] = 1;
    ReferenceUnit alone{1, kLength, {}, {}};
    for (std::int64_t n = 0; n < many.N(); ++n) {
      const auto i = static_cast<std::size_t>(n);
      if (n / kLength == kept) {
        alone.tokens.push_back(many.tokens[i]);
        alone.targets.push_back(many.targets[i]);
      } else {
        many.targets[i] = -1;
      }
    }
    // Both are the same sum of rows, divided by 15 and by 5: nothing but that division may differ.
    const double in_company = tiny.model.evaluate_unit(tiny.context, UnitTensors(many).input()).loss;
    const double on_its_own = tiny.model.evaluate_unit(tiny.context, UnitTensors(alone).input()).loss;
    EXPECT_DOUBLE_EQ(in_company * kSequences, on_its_own) << "sequence " << kept;
  }
}

INSTANTIATE_TEST_SUITE_P(Configs, ModelTest, testing::ValuesIn(tiny_cases()), tiny_case_name);
INSTANTIATE_TEST_SUITE_P(Configs, DroplessModelTest, testing::ValuesIn(dropless_cases()), tiny_case_name);

}  // namespace
}  // namespace switchyard::test
