#include "moe/decode/generator.h"

#include <gmock/gmock.h>

#include "kernels/ops/cross_entropy.h"
#include "tests/moe/support/tiny_model.h"
#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

constexpr std::int64_t kLength = 8;

class GeneratorTest : public testing::TestWithParam<TinyCase> {
 protected:
  GeneratorTest() : tiny(GetParam().config, GetParam().seed, tiny_limits(1, kLength)) {}

  // Logits after the last of the pieces, fed one after the other.
  std::vector<double> fed(const std::vector<std::vector<std::int32_t>>& pieces) {
    moe::Generator generator(tiny.model, kLength);
    std::vector<double> logits;
    std::int64_t length = 0;
    for (const auto& piece : pieces) {
      logits = values_of(generator.feed(tiny.context, piece));
      length += std::ssize(piece);
      EXPECT_EQ(generator.length(), length);
    }
    return logits;
  }
  TinyModel tiny;
};

TEST_P(GeneratorTest, APrefixHasTheSameLogitsInAnyPieces) {
  const std::vector<std::int32_t> t = random_unit(GetParam().config, 1, kLength, 9).tokens;
  const auto part = [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    return std::vector<std::int32_t>(t.begin() + begin, t.begin() + end);
  };
  const std::vector<double> whole = fed({t});
  std::vector<std::vector<std::int32_t>> singles;
  for (std::ptrdiff_t i = 0; i < kLength; ++i) singles.push_back(part(i, i + 1));
  EXPECT_EQ(fed(singles), whole);
  EXPECT_EQ(fed({part(0, 3), part(3, 4), part(4, 8)}), whole);
  EXPECT_NE(fed({part(0, 7)}), whole);
}

// A capacity is a matter of training units: only without one is the forward pass of a unit the same.
class DroplessGeneratorTest : public GeneratorTest {};

TEST_P(DroplessGeneratorTest, LogitsAreThoseOfTheWholeSequence) {
  const ReferenceUnit unit = random_unit(GetParam().config, 1, kLength, 9);
  const UnitTensors tensors(unit);
  moe::Generator generator(tiny.model, kLength);
  double total = 0;
  for (std::int64_t t = 0; t < kLength; ++t) {
    const ConstTensorView logits = generator.feed(tiny.context, {unit.tokens[static_cast<std::size_t>(t)]});
    kernels::Tensor loss(DType::f32, {1}), lse(DType::f32, {1});
    kernels::cross_entropy_forward(tiny.context, loss, lse, logits.reshaped({1, logits.elements()}),
                                   tensors.targets.view().reshaped({kLength}).rows(t, 1));
    total += static_cast<double>(*loss.data<float>());
  }
  EXPECT_EQ(tiny.model.evaluate_unit(tiny.context, tensors.input()).loss, total / kLength);
}

TEST(Generator, RefusesWhatItHasNoRoomFor) {
  TinyModel tiny(moe_config(), 1, tiny_limits(1, kLength));
  moe::Generator generator(tiny.model, 3);
  const auto refusal = [](const char* text) {
    return ::testing::ThrowsMessage<InternalError>(::testing::HasSubstr(text));
  };
  EXPECT_THAT([&] { generator.feed(tiny.context, {}); }, refusal("0 tokens after 0 of 3"));
  EXPECT_THAT([&] { generator.feed(tiny.context, {1, 2, 3, 4}); }, refusal("4 tokens after 0 of 3"));
  generator.feed(tiny.context, {1, 2});
  EXPECT_EQ(generator.length(), 2);
  EXPECT_EQ(generator.capacity(), 3);
  EXPECT_THAT([&] { generator.feed(tiny.context, {3, 4}); }, refusal("2 tokens after 2 of 3"));
}

INSTANTIATE_TEST_SUITE_P(Configs, GeneratorTest, testing::ValuesIn(tiny_cases()), tiny_case_name);
INSTANTIATE_TEST_SUITE_P(Configs, DroplessGeneratorTest, testing::ValuesIn(dropless_cases()), tiny_case_name);

}  // namespace
}  // namespace switchyard::test
