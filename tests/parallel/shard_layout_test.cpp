#include "parallel/sums/shard_layout.h"

#include <gtest/gtest.h>

#include "kernels/runtime/random.h"

namespace switchyard::parallel {

namespace {

using kernels::kNormBlock;

std::vector<ShardTensor> random_tensors(std::uint64_t seed) {
  const kernels::RandomStream stream(seed, "shard layout test");
  std::vector<ShardTensor> tensors(stream.words(0)[0] % 9);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto words = stream.words(i + 1);
    const std::int64_t parts = words[0] % 3 == 0 ? 1 + words[1] % 5 : 1;
    const std::int64_t greatest = words[2] % 4 == 0 ? 10 : 5000;
    tensors[i] = {parts * static_cast<std::int64_t>(words[3] % static_cast<std::uint64_t>(greatest)), parts};
  }
  return tensors;
}

/// Every element of every tensor in exactly one piece, each piece within one part and cut only between its
/// runs.
void expect_pieces_tile(const ShardLayout& layout, const std::vector<ShardTensor>& tensors) {
  std::vector<std::vector<int>> seen;
  for (const ShardTensor& tensor : tensors) seen.emplace_back(tensor.elements, 0);
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    std::int64_t flat = layout.shard_begin(rank);
    for (const ShardPiece& piece : layout.pieces(rank)) {
      const ShardTensor& tensor = tensors[static_cast<std::size_t>(piece.tensor)];
      const std::int64_t part_size = tensor.elements / tensor.parts;
      ASSERT_LT(piece.begin, piece.end);
      EXPECT_GE(piece.flat_begin, flat) << "in flat order";
      flat = piece.flat_begin + piece.elements();
      EXPECT_LE(flat, layout.shard_end(rank));
      EXPECT_EQ(piece.flat_begin, layout.flat_begin(piece.tensor) + piece.begin);
      EXPECT_GE(piece.begin, piece.part * part_size);
      EXPECT_LE(piece.end, (piece.part + 1) * part_size);
      EXPECT_EQ((piece.begin - piece.part * part_size) % kNormBlock, 0);
      const std::int64_t end_in_part = piece.end - piece.part * part_size;
      EXPECT_TRUE(end_in_part == part_size || end_in_part % kNormBlock == 0);
      for (std::int64_t i = piece.begin; i < piece.end; ++i) {
        ++seen[static_cast<std::size_t>(piece.tensor)][static_cast<std::size_t>(i)];
      }
    }
  }
  for (const auto& tensor : seen) {
    for (const int times : tensor) ASSERT_EQ(times, 1);
  }
}

TEST(ShardLayout, PiecesTileEveryTensorForAnyRanks) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto tensors = random_tensors(seed);
    for (const int ranks : {1, 2, 3, 4, 7, 16, 61}) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " ranks " << ranks);
      const ShardLayout layout(tensors, ranks);
      ASSERT_EQ(layout.ranks(), ranks);
      EXPECT_EQ(layout.shard_begin(0), 0);
      EXPECT_EQ(layout.shard_end(ranks - 1), layout.flat_size());
      expect_pieces_tile(layout, tensors);
    }
  }
}

TEST(ShardLayout, ShardsAreEvenToARun) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto tensors = random_tensors(seed);
    for (const int ranks : {2, 3, 5, 8}) {
      const ShardLayout layout(tensors, ranks);
      const std::int64_t fair = layout.flat_size() / ranks;
      // A cut moves back over at most one run and the padding behind it.
      EXPECT_LE(layout.largest_shard(), fair + 2 * kNormBlock + 1) << "seed " << seed << " ranks " << ranks;
    }
  }
}

TEST(ShardLayout, WholeRunsAreCutAtMultiplesOfTheNormBlock) {
  const std::vector<ShardTensor> tensors{{10 * kNormBlock}, {1}, {5 * kNormBlock + 7}};
  const ShardLayout layout(tensors, 5);
  EXPECT_EQ(layout.flat_size(), 17 * kNormBlock);
  for (int rank = 0; rank < 5; ++rank) EXPECT_EQ(layout.shard_begin(rank) % kNormBlock, 0);
  EXPECT_EQ(layout.shard_size(0), 3 * kNormBlock);
}

TEST(ShardLayout, MoreRanksThanRunsLeavesEmptyShards) {
  const std::vector<ShardTensor> tensors{{5}, {kNormBlock + 1}};
  const ShardLayout layout(tensors, 10);
  int owners = 0;
  for (int rank = 0; rank < 10; ++rank) owners += layout.pieces(rank).empty() ? 0 : 1;
  EXPECT_LE(owners, 3);
  expect_pieces_tile(layout, tensors);
}

TEST(ShardLayout, NoTensors) {
  const ShardLayout layout({}, 3);
  EXPECT_EQ(layout.flat_size(), 0);
  EXPECT_TRUE(layout.pieces(1).empty());
}

TEST(ShardLayout, CountsOfRangesAddUpToShards) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const auto tensors = random_tensors(seed);
    const ShardLayout layout(tensors, 4);
    std::vector<std::int64_t> total(4, 0);
    for (std::int64_t t = 0; t < layout.tensors(); ++t) {
      const auto counts = layout.counts(t, t + 1);
      std::int64_t sum = 0;
      for (std::size_t r = 0; r < 4; ++r) {
        total[r] += counts[r];
        sum += counts[r];
      }
      EXPECT_EQ(sum, layout.flat_begin(t + 1) - layout.flat_begin(t));
    }
    for (int r = 0; r < 4; ++r) EXPECT_EQ(total[static_cast<std::size_t>(r)], layout.shard_size(r));
  }
}

/// The runs of an expert must not depend on how many experts lie in one tensor.
TEST(ShardLayout, RunsOfAnExpertAreTheSameForAnyExpertAxis) {
  constexpr std::int64_t kPart = 2500;
  const auto run_starts = [](std::int64_t experts_per_rank, int ranks) {
    std::vector<std::int64_t> starts;  // within the expert
    const std::vector<ShardTensor> tensors{{experts_per_rank * kPart, experts_per_rank}};
    const ShardLayout layout(tensors, ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      for (const ShardPiece& piece : layout.pieces(rank)) {
        for (std::int64_t at = piece.begin; at < piece.end; at += kNormBlock) starts.push_back(at % kPart);
      }
    }
    return starts;
  };
  const std::vector<std::int64_t> one{0, 1024, 2048};
  std::vector<std::int64_t> four;
  for (int e = 0; e < 4; ++e) four.insert(four.end(), one.begin(), one.end());
  EXPECT_EQ(run_starts(1, 1), one);
  EXPECT_EQ(run_starts(1, 2), one);
  for (const int ranks : {1, 2, 3, 5, 20}) EXPECT_EQ(run_starts(4, ranks), four) << ranks;
}

}  // namespace

}  // namespace switchyard::parallel
