// The verifier, and the verifier verified: each rule of determinism is broken once, and must be seen and
// named.
#include "app/verify/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>

#include "app/config/load.h"
#include "parallel/communicators/local.h"

namespace switchyard::app {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Config small_config(const std::string& name) {
  return scaled_down(load_config(std::filesystem::path(SWITCHYARD_SOURCE_DIR) / "configs" / name));
}

// A group whose gradient sums are added in floating point, in an order that `order` gives.
class FloatingSums : public parallel::Communicator {
 public:
  using Order = std::function<void(std::vector<int>&)>;
  FloatingSums(parallel::Communicator& inner, Order order)
      : Communicator(inner.rank(), inner.size(), inner.name()), inner_(&inner), order_(std::move(order)) {}
  FloatingSums(std::unique_ptr<parallel::Communicator> inner, Order order)
      : FloatingSums(*inner, std::move(order)) {
    owned_ = std::move(inner);
  }

 protected:
  void do_barrier(const parallel::Call&) override { inner_->barrier(); }
  void do_broadcast(const parallel::Call&, std::span<std::byte> data, int root) override {
    inner_->broadcast(data, root);
  }
  void do_all_gather(const parallel::Call&, std::span<const std::byte> mine, std::span<std::byte> all,
                     std::span<const std::int64_t> piece_bytes) override {
    inner_->all_gather_v(mine, all, piece_bytes);
  }
  void do_all_reduce(const parallel::Call&, std::span<std::int64_t> values,
                     parallel::Reduction reduction) override {
    if (reduction == parallel::Reduction::sum) inner_->all_reduce_sum(values);
    if (reduction == parallel::Reduction::max) inner_->all_reduce_max(values);
    if (reduction == parallel::Reduction::min) inner_->all_reduce_min(values);
  }
  std::unique_ptr<parallel::Pending> do_reduce_scatter(const parallel::Call&,
                                                       std::span<const std::int64_t> in,
                                                       std::span<std::int64_t> out,
                                                       std::span<const std::int64_t> counts) override {
    std::vector<std::int64_t> all(in.size() * static_cast<std::size_t>(size()));
    inner_->all_gather(std::as_bytes(in), std::as_writable_bytes(std::span(all)));
    std::size_t begin = 0;
    for (int r = 0; r < rank(); ++r) begin += static_cast<std::size_t>(counts[static_cast<std::size_t>(r)]);
    std::vector<int> ranks(static_cast<std::size_t>(size()));
    for (int r = 0; r < size(); ++r) ranks[static_cast<std::size_t>(r)] = r;
    for (std::size_t i = 0; i < out.size(); ++i) {
      order_(ranks);
      float sum = 0;
      for (const int r : ranks)
        sum += static_cast<float>(all[static_cast<std::size_t>(r) * in.size() + begin + i]);
      out[i] = static_cast<std::int64_t>(sum);
    }
    return std::make_unique<Done>();
  }
  std::unique_ptr<parallel::Pending> do_all_to_all_v(const parallel::Call&, std::span<const std::byte> send,
                                                     std::span<std::byte> receive,
                                                     const parallel::ExchangeSizes& sizes) override {
    inner_->all_to_all_v(send, receive, sizes);
    return std::make_unique<Done>();
  }
  std::unique_ptr<parallel::Communicator> do_split(const parallel::Call&, int color, int key,
                                                   std::string name) override {
    return std::make_unique<FloatingSums>(inner_->split(color, key, std::move(name)), order_);
  }

 private:
  struct Done : parallel::Pending {
    void wait() override {}
    bool poll() override { return true; }
  };
  std::unique_ptr<parallel::Communicator> owned_;
  parallel::Communicator* inner_;
  Order order_;
};

LayoutHooks floating_sums(FloatingSums::Order order) {
  LayoutHooks hooks;
  hooks.wrap = [order](parallel::Communicator& world) -> std::unique_ptr<parallel::Communicator> {
    return std::make_unique<FloatingSums>(world, order);
  };
  return hooks;
}

// The first differences of the layouts with more than one rank.
std::vector<std::string> differences(const Config& small, const LayoutHooks& hooks) {
  std::vector<VerifyCase> cases;
  for (const VerifyCase& one : local_cases(small, true))
    if (one.spec.ranks > 1 && one.spec.resume_at == 0) cases.push_back(one);
  std::vector<std::string> found;
  for (const Verdict& verdict : verify_on_threads(small, cases, hooks, [](const Verdict&) {}))
    if (!verdict.difference.empty()) found.push_back(verdict.difference);
  return found;
}

TEST(Verify, EveryExampleGivesTheSameBitsOnEveryLayout) {
  for (const char* name : {"quickstart.yaml", "tiny.yaml", "moe_sigmoid.yaml", "dense.yaml"}) {
    const Config small = small_config(name);
    for (const Verdict& verdict :
         verify_on_threads(small, local_cases(small, true), {}, [](const Verdict&) {}))
      EXPECT_EQ(verdict.difference, "") << name << ": " << verdict.tried.name;
  }
}

TEST(Verify, ExamplesInBf16GiveTheSameBitsOnEveryLayout) {
  for (const char* name : {"quickstart.yaml", "moe_sigmoid.yaml"}) {
    Config small = small_config(name);
    small.model.activation = DType::bf16;
    for (const Verdict& verdict :
         verify_on_threads(small, local_cases(small, true), {}, [](const Verdict&) {}))
      EXPECT_EQ(verdict.difference, "") << name << ": " << verdict.tried.name;
  }
}

TEST(Verify, TheBoundedExchangeReallyTakesSeveralRounds) {
  const Config small = small_config("quickstart.yaml");
  const auto cases = local_cases(small, false);
  const auto bounded = std::find_if(cases.begin(), cases.end(),
                                    [](const VerifyCase& one) { return one.spec.exchange_rows > 0; });
  ASSERT_NE(bounded, cases.end());
  const std::int64_t rows = small.train.micro_batch * small.data.sequence_length * small.model.moe.top_k;
  // On average each rank receives as many rows as it sends, so some rank receives more than the bound.
  EXPECT_GT(rows, bounded->spec.exchange_rows);
}

TEST(Verify, SeesSumsInRankOrder) {
  const auto found = differences(small_config("quickstart.yaml"), floating_sums([](std::vector<int>&) {}));
  ASSERT_FALSE(found.empty());
  for (const std::string& difference : found) EXPECT_THAT(difference, StartsWith("step 1: gradient "));
}

TEST(Verify, SeesSumsInOrderOfArrival) {
  auto arrivals = std::make_shared<std::atomic<unsigned>>(0);
  const auto found = differences(
      small_config("quickstart.yaml"), floating_sums([arrivals](std::vector<int>& ranks) {
        std::rotate(ranks.begin(), ranks.begin() + arrivals->fetch_add(1) % ranks.size(), ranks.end());
      }));
  ASSERT_FALSE(found.empty());
  for (const std::string& difference : found) EXPECT_THAT(difference, StartsWith("step 1: gradient "));
}

TEST(Verify, SeesInitialValuesThatDependOnTheRank) {
  LayoutHooks hooks;
  hooks.seed = [](std::int64_t seed, int rank) { return seed + rank; };
  const auto found = differences(small_config("quickstart.yaml"), hooks);
  ASSERT_FALSE(found.empty());
  for (const std::string& difference : found) EXPECT_THAT(difference, StartsWith("step 1: loss of unit "));
}

TEST(Verify, SeesAProductThatSplitsItsSumByTheNumberOfRows) {
  LayoutHooks hooks;
  hooks.rule = kernels::BrokenRule::split_reduction;
  const auto found = differences(small_config("quickstart.yaml"), hooks);
  ASSERT_FALSE(found.empty());
  for (const std::string& difference : found) EXPECT_THAT(difference, StartsWith("step 1: loss of unit "));
}

TEST(Verify, SeesASplitSumInBf16) {
  Config small = small_config("quickstart.yaml");
  small.model.activation = DType::bf16;
  LayoutHooks hooks;
  hooks.rule = kernels::BrokenRule::split_reduction;
  const auto found = differences(small, hooks);
  ASSERT_FALSE(found.empty());
  for (const std::string& difference : found) EXPECT_THAT(difference, StartsWith("step 1: loss of unit "));
}

TEST(Verify, SeesTiesThatDependOnTheRank) {
  Config small = small_config("quickstart.yaml");
  small.model.init_std = 0;  // every score ties
  LayoutHooks hooks;
  hooks.rule = kernels::BrokenRule::tie_by_rank;
  EXPECT_TRUE(differences(small, {}).empty());
  const auto found = differences(small, hooks);
  ASSERT_FALSE(found.empty());
  for (const std::string& difference : found) EXPECT_THAT(difference, HasSubstr("step 1: count of layer "));
}

TEST(Verify, SeesUnitsThatShareAGradientBlock) {
  LayoutHooks hooks;
  hooks.rule = kernels::BrokenRule::merged_segments;
  const auto found = differences(small_config("quickstart.yaml"), hooks);
  // Only where a rank holds one expert do the rows of two units lie side by side.
  ASSERT_FALSE(found.empty());
  for (const std::string& difference : found) EXPECT_THAT(difference, StartsWith("step 1: gradient layers."));
  EXPECT_THAT(found.front(), HasSubstr("moe.experts."));
}

TEST(Verify, NamesTensorStepAndElement) {
  const auto alone = parallel::single_rank();
  const Config small = small_config("tiny.yaml");
  const Capture expected = run_layout(small, {}, *alone);
  Capture changed = expected;
  GlobalTensor& weight = changed[1].state.at("layers.0.moe.experts.down.weight");
  const std::size_t element = static_cast<std::size_t>((2 * weight.shape[1] + 3) * weight.shape[2] + 4);
  weight.bytes[element * sizeof(float)] ^= std::byte{1};
  EXPECT_THAT(first_difference(expected, changed),
              StartsWith("step 2: state layers.0.moe.experts.down.weight at [2, 3, 4]: "));
  EXPECT_EQ(first_difference(expected, expected), "");
}

}  // namespace
}  // namespace switchyard::app
