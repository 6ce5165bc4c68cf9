#include "moe/decode/sampler.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "tests/support/op_test.h"

namespace switchyard::test {
namespace {

using moe::sample_token;
using moe::SamplerOptions;
using ::testing::ElementsAre;

kernels::Tensor logits_of(const std::vector<double>& values) {
  return f32_tensor({std::ssize(values)}, values);
}

std::vector<std::int32_t> drawn(const std::vector<double>& values, const SamplerOptions& options,
                                std::uint64_t count) {
  const kernels::Tensor logits = logits_of(values);
  std::vector<std::int32_t> tokens;
  for (std::uint64_t position = 0; position < count; ++position)
    tokens.push_back(sample_token(logits, options, position));
  return tokens;
}

std::set<std::int32_t> kinds(const std::vector<double>& values, const SamplerOptions& options) {
  const auto tokens = drawn(values, options, 400);
  return {tokens.begin(), tokens.end()};
}

const double kNan = std::nan("");
const double kInfinity = std::numeric_limits<double>::infinity();

TEST(Sampler, TemperatureZeroTakesTheLikeliestAndTheLowestOfEquals) {
  SamplerOptions options;
  options.temperature = 0;
  EXPECT_EQ(sample_token(logits_of({1, 5, 2, 5}), options, 7), 1);
  EXPECT_EQ(sample_token(logits_of({-1, -5, -0.5}), options, 7), 2);
}

TEST(Sampler, DrawsInProportionToTheProbabilities) {
  constexpr std::uint64_t kDraws = 20000;
  for (const double temperature : {1.0, 0.5}) {
    SamplerOptions options;
    options.temperature = temperature;
    std::vector<double> counts(3);
    for (const std::int32_t token : drawn({0, 1, 2}, options, kDraws))
      ++counts[static_cast<std::size_t>(token)];
    double total = 0;
    for (int i = 0; i < 3; ++i) total += std::exp(i / temperature);
    for (std::size_t i = 0; i < 3; ++i) {
      const double p = std::exp(static_cast<double>(i) / temperature) / total;
      const double deviation = std::sqrt(p * (1 - p) / kDraws);
      EXPECT_NEAR(counts[i] / kDraws, p, 5 * deviation) << temperature << " " << i;
    }
  }
}

TEST(Sampler, TopKKeepsTheLikeliest) {
  SamplerOptions options;
  options.temperature = 10;
  options.top_k = 2;
  EXPECT_THAT(kinds({0, 1, 2, 1}, options), ElementsAre(1, 2));  // 3 ties with 1 and is higher
  options.top_k = 1;
  EXPECT_THAT(kinds({0, 1, 2, 1}, options), ElementsAre(2));
  options.top_k = 9;
  EXPECT_THAT(kinds({0, 1, 2, 1}, options), ElementsAre(0, 1, 2, 3));
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  const std::vector<double> logits = {std::log(0.5), std::log(0.3), std::log(0.15), std::log(0.05)};
  SamplerOptions options;
  for (const auto& [top_p, kept] : {std::pair{0.0, 1}, {0.49, 1}, {0.6, 2}, {0.85, 3}, {0.97, 4}, {1.0, 4}}) {
    options.top_p = top_p;
    EXPECT_EQ(std::ssize(kinds(logits, options)), kept) << top_p;
    EXPECT_EQ(*kinds(logits, options).rbegin(), kept - 1) << top_p;
  }
}

TEST(Sampler, IsAFunctionOfSeedAndPosition) {
  const std::vector<double> logits(50, 0.0);
  SamplerOptions options;
  options.seed = 3;
  const auto tokens = drawn(logits, options, 100);
  EXPECT_EQ(drawn(logits, options, 100), tokens);
  options.seed = 4;
  EXPECT_NE(drawn(logits, options, 100), tokens);
  EXPECT_GT(std::set<std::int32_t>(tokens.begin(), tokens.end()).size(), 10U);
}

TEST(Sampler, ANanIsNeverTheChoiceWhileThereIsAnother) {
  SamplerOptions options;
  EXPECT_THAT(kinds({kNan, 1, kNan, 1}, options), ElementsAre(1, 3));
  EXPECT_THAT(kinds({-kInfinity, 1, kNan}, options), ElementsAre(1));
  EXPECT_THAT(kinds({kNan, kNan}, options), ElementsAre(0));
  EXPECT_THAT(kinds({0, kInfinity, 0}, options), ElementsAre(1));
  options.temperature = 0;
  EXPECT_EQ(sample_token(logits_of({kNan, -3, kNan}), options, 0), 1);
}

}  // namespace
}  // namespace switchyard::test
