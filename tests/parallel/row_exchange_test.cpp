#include "parallel/exchange/row_exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/random.h"
#include "parallel/communicators/local.h"

namespace switchyard::parallel {

namespace {

using kernels::kGradientBlockRows;
using kernels::Tensor;

constexpr std::int64_t kWidth = 3;

enum class Skew : std::uint8_t { even, uneven, all_to_one, one_source, nothing, mostly_empty };
constexpr Skew kSkews[] = {Skew::even,       Skew::uneven,  Skew::all_to_one,
                           Skew::one_source, Skew::nothing, Skew::mostly_empty};

/// counts (Pe, E)
std::vector<std::int32_t> counts_for(Skew skew, int ranks, std::int64_t experts, std::uint64_t seed) {
  const kernels::RandomStream stream(seed, "row exchange test");
  std::vector<std::int32_t> counts;
  for (int s = 0; s < ranks; ++s) {
    for (std::int64_t e = 0; e < experts; ++e) {
      const auto words = stream.words(static_cast<std::uint64_t>(s * experts + e));
      std::uint32_t rows = 0;
      if (skew == Skew::even) rows = 40;
      if (skew == Skew::uneven) rows = words[0] % 3 == 0 ? 0 : words[1] % 900;
      if (skew == Skew::all_to_one && e == experts - 1) rows = 700 + words[0] % 100;
      if (skew == Skew::one_source && s == 0) rows = words[0] % 1200;
      if (skew == Skew::mostly_empty && words[0] % 6 == 0) rows = 1 + words[1] % 3;
      counts.push_back(static_cast<std::int32_t>(rows));
    }
  }
  return counts;
}

/// Element c of row i of the run (source, expert).
float value_at(int source, std::int64_t expert, std::int64_t i, std::int64_t c) {
  const kernels::RandomStream stream(11, "row values");
  return static_cast<float>(stream.uniform(static_cast<std::uint64_t>((source * 64 + expert) * 10'000 + i),
                                           static_cast<std::uint64_t>(c)) -
                            0.5);
}

/// The sorted rows of one source.
Tensor sorted_rows(const std::vector<std::int32_t>& counts, int source, std::int64_t experts) {
  const auto own = counts.begin() + source * experts;
  const std::int64_t rows = std::accumulate(own, own + experts, std::int64_t{0});
  Tensor sorted(DType::f32, {rows, kWidth});
  float* to = sorted.data<float>();
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t i = 0; i < own[e]; ++i) {
      for (std::int64_t c = 0; c < kWidth; ++c) *to++ = value_at(source, e, i, c);
    }
  }
  return sorted;
}

/// The weight gradient that a run of rows adds, by the rule of gradient_sum.h: blocks in fp32, added as
/// integers.
void add_gradient(std::vector<std::int64_t>& sums, const float* rows, std::int64_t count) {
  for (std::int64_t begin = 0; begin < count; begin += kGradientBlockRows) {
    const std::int64_t end = std::min(count, begin + kGradientBlockRows);
    for (std::int64_t a = 0; a < kWidth; ++a) {
      for (std::int64_t b = 0; b < kWidth; ++b) {
        float block = 0;
        for (std::int64_t i = begin; i < end; ++i) {
          block = std::fma(rows[i * kWidth + a], rows[i * kWidth + b] * 0.7F, block);
        }
        sums[static_cast<std::size_t>(a * kWidth + b)] +=
            static_cast<std::int64_t>(std::nearbyint(static_cast<double>(block) / kernels::kGridUnit));
      }
    }
  }
}

using Gradients = std::vector<std::vector<std::int64_t>>;  // by global expert

Gradients gradients_without_exchange(const std::vector<std::int32_t>& counts, int ranks,
                                     std::int64_t experts) {
  Gradients sums(static_cast<std::size_t>(experts), std::vector<std::int64_t>(kWidth * kWidth));
  for (int s = 0; s < ranks; ++s) {
    const Tensor sorted = sorted_rows(counts, s, experts);
    const float* at = sorted.data<float>();
    for (std::int64_t e = 0; e < experts; ++e) {
      const std::int64_t rows = counts[static_cast<std::size_t>(s * experts + e)];
      add_gradient(sums[static_cast<std::size_t>(e)], at, rows);
      at += rows * kWidth;
    }
  }
  return sums;
}

/// The segments of a round lie one after the other, without a gap, and cover its rows.
void expect_segments_tile(const ExchangePlan& plan, int round) {
  const auto segments = plan.segments(round);
  std::int64_t next = 0;
  for (std::int64_t s = 0; s < segments.dim(0); ++s) {
    const std::int32_t* entry = segments.data<std::int32_t>() + 3 * s;
    EXPECT_EQ(entry[0], s % (segments.dim(0) / plan.ranks()));
    if (entry[2] == 0) continue;
    EXPECT_EQ(entry[1], next);
    next += entry[2];
  }
  EXPECT_EQ(next, plan.rows(round));
}

/// Exchanges, takes the gradients on the experts' side, sends x -> expert * 1000 + x back.
void run_case(const std::vector<std::int32_t>& counts, int ranks, std::int64_t experts, std::int64_t max_rows,
              Gradients& gradients) {
  const std::int64_t local = experts / ranks;
  run_local(ranks, [&](Communicator& group) {
    const int rank = group.rank();
    RowExchange exchange(group, experts, max_rows);
    const ConstTensorView own(counts.data() + rank * experts, DType::i32, {experts});
    const ExchangePlan plan = exchange.plan(own);
    const Tensor sorted = sorted_rows(counts, rank, experts);
    Tensor back(DType::f32, sorted.view().shape());
    Tensor buffer(DType::f32, {plan.largest_round(), kWidth});
    Tensor results(DType::f32, {plan.largest_round(), kWidth});
    EXPECT_LE(plan.largest_round(), max_rows == 0 ? plan.received_rows() : max_rows);
    for (int round = 0; round < plan.rounds(); ++round) {
      expect_segments_tile(plan, round);
      const TensorView received = exchange.received(plan, round, sorted, buffer);
      exchange.dispatch(plan, round, received, sorted);
      const TensorView out = exchange.received(plan, round, back, results);
      const auto segments = plan.segments(round);
      for (std::int64_t s = 0; s < segments.dim(0); ++s) {
        const std::int32_t* entry = segments.data<std::int32_t>() + 3 * s;
        const std::int64_t expert = rank * local + entry[0];
        const float* rows = received.data<float>() + entry[1] * kWidth;
        if (entry[2] > 0) add_gradient(gradients[static_cast<std::size_t>(expert)], rows, entry[2]);
        for (std::int64_t i = 0; i < entry[2] * kWidth; ++i) {
          out.data<float>()[entry[1] * kWidth + i] = static_cast<float>(expert * 1000) + rows[i];
        }
      }
      exchange.combine(plan, round, back, out);
    }
    const float* x = sorted.data<float>();
    const float* y = back.data<float>();
    for (std::int64_t e = 0; e < experts; ++e) {
      for (std::int64_t i = 0; i < own.data<std::int32_t>()[e] * kWidth; ++i) {
        ASSERT_EQ(*y++, static_cast<float>(e * 1000) + *x++) << "rank " << rank << " expert " << e;
      }
    }
  });
}

TEST(RowExchange, RowsReachTheirExpertsAndComeBackForAnySkewAndBound) {
  std::uint64_t seed = 0;
  for (const int ranks : {1, 2, 3, 4}) {
    for (const Skew skew : kSkews) {
      const std::int64_t experts = ranks * (1 + static_cast<std::int64_t>(seed % 3));
      const auto counts = counts_for(skew, ranks, experts, ++seed);
      const Gradients expected = gradients_without_exchange(counts, ranks, experts);
      for (const std::int64_t max_rows : {0, 256, 300, 511, 1024}) {
        SCOPED_TRACE(testing::Message()
                     << ranks << " ranks, skew " << static_cast<int>(skew) << ", max_rows " << max_rows);
        Gradients gradients(static_cast<std::size_t>(experts), std::vector<std::int64_t>(kWidth * kWidth));
        run_case(counts, ranks, experts, max_rows, gradients);
        EXPECT_EQ(gradients, expected);
      }
    }
  }
}

TEST(ExchangePlan, RanksAgreeOnRoundsAndOnEveryPair) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const int ranks = 1 + static_cast<int>(seed % 6);
    const std::int64_t experts = ranks * 3;
    const auto counts = counts_for(kSkews[seed % std::size(kSkews)], ranks, experts, seed);
    const std::int64_t max_rows = seed % 4 == 0 ? 0 : 256 + static_cast<std::int64_t>(seed) * 7;
    std::vector<ExchangePlan> plans;
    for (int rank = 0; rank < ranks; ++rank) plans.emplace_back(rank, ranks, experts, counts, max_rows);
    for (int a = 0; a < ranks; ++a) {
      const ExchangePlan& mine = plans[static_cast<std::size_t>(a)];
      ASSERT_EQ(mine.rounds(), plans[0].rounds());
      std::int64_t sent = 0;
      for (int b = 0; b < ranks; ++b) {
        const ExchangePlan& theirs = plans[static_cast<std::size_t>(b)];
        for (int round = 0; round < mine.rounds(); ++round) {
          EXPECT_EQ(mine.send_rows(round, b), theirs.receive_rows(round, a));
          sent += mine.send_rows(round, b);
        }
      }
      EXPECT_EQ(sent, mine.own_rows());
    }
  }
}

TEST(ExchangePlan, CutsRunsOnlyBetweenGradientBlocks) {
  // 200 rows leave 100 of the round: less than a block, so the long run begins in the next round.
  const std::vector<std::int32_t> counts{200, 700};
  const ExchangePlan plan(0, 1, 2, counts, 300);
  ASSERT_EQ(plan.rounds(), 4);
  EXPECT_EQ(plan.rows(0), 200);
  EXPECT_EQ(plan.rows(1), 256);
  EXPECT_EQ(plan.rows(2), 256);
  EXPECT_EQ(plan.rows(3), 188);
  EXPECT_EQ(plan.send_begin(3, 0), 200 + 512);
}

TEST(ExchangePlan, UnboundedIsOneRoundAndNothingIsOneEmptyRound) {
  const std::vector<std::int32_t> many(8, 100'000);
  EXPECT_EQ(ExchangePlan(1, 2, 4, many, 0).rounds(), 1);
  const std::vector<std::int32_t> none(8, 0);
  const ExchangePlan empty(1, 2, 4, none, 256);
  EXPECT_EQ(empty.rounds(), 1);
  EXPECT_EQ(empty.rows(0), 0);
}

TEST(RowExchange, OneRankWorksInPlaceAndSendsNothing) {
  const auto alone = single_rank();
  RowExchange exchange(*alone, 2, 300);
  const std::vector<std::int32_t> counts{400, 100};
  const ExchangePlan plan = exchange.plan(ConstTensorView(counts.data(), DType::i32, {2}));
  Tensor sorted(DType::bf16, {500, 4});
  for (int round = 0; round < plan.rounds(); ++round) {
    const TensorView rows = exchange.received(plan, round, sorted, {});
    EXPECT_EQ(rows.raw(), sorted.view().rows(plan.send_begin(round, 0), 1).raw());
    exchange.dispatch(plan, round, rows, sorted);
    exchange.combine(plan, round, sorted, rows);
  }
  EXPECT_EQ(alone->traffic(Collective::all_to_all_v).calls, 0);
}

TEST(RowExchange, BoundBelowAGradientBlockIsRefused) {
  const auto alone = single_rank();
  try {
    RowExchange exchange(*alone, 2, 255);
    FAIL() << "accepted";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("got 255"), std::string::npos);
  }
}

}  // namespace

}  // namespace switchyard::parallel
