#include "parallel/sums/exact_sums.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/runtime/random.h"
#include "parallel/communicators/local.h"
#include "parallel/sums/agreement.h"

namespace switchyard::parallel {

namespace {

const std::vector<ShardTensor> kTensors{{3000}, {10}, {4 * 700, 4}, {1024}, {1}, {5000}};

/// What unit `unit` adds to element i of a tensor.
std::int64_t addend(int unit, std::int64_t tensor, std::int64_t i) {
  const kernels::RandomStream stream(7, "addends");
  return static_cast<std::int64_t>(
             stream.words(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(unit))[0]) *
             (tensor + 1) -
         (std::int64_t{1} << 40);
}

void add_unit(ExactSums& sums, int unit) {
  for (std::int64_t t = 0; t < std::ssize(kTensors); ++t) {
    const std::int64_t elements = kTensors[static_cast<std::size_t>(t)].elements;
    const auto to = sums.sum(t, {elements}).sums.data<std::int64_t>();
    for (std::int64_t i = 0; i < elements; ++i) to[i] += addend(unit, t, i);
  }
}

constexpr int kUnits = 7;

/// All sums of one step, gathered from the owners' pieces.
std::vector<std::vector<std::int64_t>> step_sums(int ranks, bool piecewise) {
  std::vector<std::vector<std::int64_t>> result;
  for (const ShardTensor& tensor : kTensors) result.emplace_back(tensor.elements, 0);
  run_local(ranks, [&](Communicator& world) {
    ExactSums sums(world, kTensors, 1000);
    for (int step = 0; step < 2; ++step) {  // the second one must not see the first
      sums.zero();
      for (int unit = world.rank(); unit < kUnits; unit += world.size()) add_unit(sums, unit);
      if (piecewise) {
        sums.start(4, 6);
        sums.poll();
        sums.start(1, 3);
      }
      sums.finish();
    }
    EXPECT_EQ(std::ssize(sums.own()), sums.layout().shard_size(world.rank()));
    for (const ShardPiece& piece : sums.layout().pieces(world.rank())) {
      const auto own = sums.own(piece);
      std::copy_n(own.data<std::int64_t>(), piece.elements(),
                  result[static_cast<std::size_t>(piece.tensor)].begin() + piece.begin);
    }
  });
  return result;
}

TEST(ExactSums, OwnersHoldTheSumsOfAllRanks) {
  const auto whole = step_sums(1, false);
  for (std::size_t t = 0; t < kTensors.size(); ++t) {
    for (std::int64_t i = 0; i < kTensors[t].elements; ++i) {
      std::int64_t expected = 0;
      for (int unit = 0; unit < kUnits; ++unit) expected += addend(unit, static_cast<std::int64_t>(t), i);
      ASSERT_EQ(whole[t][static_cast<std::size_t>(i)], expected);
    }
  }
  for (const int ranks : {1, 2, 3, 4, 5, 20}) {
    EXPECT_EQ(step_sums(ranks, false), whole) << ranks << " ranks";
    EXPECT_EQ(step_sums(ranks, true), whole) << ranks << " ranks, piece by piece";
  }
}

TEST(ExactSums, OverflowIsCountedAndCleared) {
  run_local(2, [](Communicator& world) {
    ExactSums sums(world, kTensors, 1000);
    EXPECT_EQ(sums.sum(0, {3000}).limit, kernels::gradient_limit(1000));
    *sums.sum(3, {32, 32}).overflow.data<std::int64_t>() += world.rank();
    EXPECT_EQ(sums.overflow(), world.rank());
    EXPECT_TRUE(world.all_reduce_or(sums.overflow() > 0));
    sums.zero();
    EXPECT_EQ(sums.overflow(), 0);
  });
}

TEST(ExactSums, AnotherNumberOfElementsIsRefused) {
  const auto world = single_rank();
  ExactSums sums(*world, kTensors, 1);
  EXPECT_THROW(sums.sum(0, {2999}), InternalError);
  EXPECT_THROW(sums.sum(6, {1}), InternalError);
}

__extension__ using Wide = __int128;

Wide value_of(const kernels::WideSum& sum) {
  return static_cast<Wide>(sum.high) << 64 | static_cast<Wide>(sum.low);
}

TEST(AllReduceWide, EqualsA128BitSum) {
  const kernels::RandomStream stream(3, "wide");
  for (std::uint64_t turn = 0; turn < 40; ++turn) {
    for (const int ranks : {1, 2, 5}) {
      const auto part = [&](int rank) {
        const auto words = stream.words(turn, static_cast<std::uint64_t>(rank));
        kernels::WideSum sum;
        sum.low = turn % 3 == 0 ? ~std::uint64_t{0} : (std::uint64_t{words[0]} << 32 | words[1]);
        sum.high = static_cast<std::int64_t>(std::uint64_t{words[2]} << 32 | words[3]) >> (turn % 60 + 3);
        return sum;
      };
      Wide expected = 0;
      for (int rank = 0; rank < ranks; ++rank) expected += value_of(part(rank));
      run_local(ranks, [&](Communicator& world) {
        kernels::WideSum sum = part(world.rank());
        all_reduce_wide(world, sum);
        EXPECT_TRUE(value_of(sum) == expected) << "turn " << turn << ", " << ranks << " ranks";
      });
    }
  }
}

}  // namespace

}  // namespace switchyard::parallel
