#include "data/text/bpe/merges.h"

#include <gtest/gtest.h>

#include <chrono>

namespace switchyard::data {
namespace {

/// Tokens 0..255 are bytes.
std::array<std::int32_t, 256> plain_bytes() {
  std::array<std::int32_t, 256> tokens{};
  for (std::size_t byte = 0; byte < 256; ++byte) tokens[byte] = static_cast<std::int32_t>(byte);
  return tokens;
}

/// The definition: join the pair of lowest rank, the leftmost of equals, until no pair is left.
std::vector<std::int32_t> by_definition(std::string_view piece, std::span<const Merge> merges) {
  std::vector<std::int32_t> parts;
  for (const char byte : piece) parts.push_back(static_cast<unsigned char>(byte));
  for (;;) {
    std::size_t best_rank = merges.size(), best_at = 0;
    for (std::size_t at = 0; at + 1 < parts.size(); ++at)
      for (std::size_t rank = 0; rank < best_rank; ++rank)
        if (merges[rank].left == parts[at] && merges[rank].right == parts[at + 1]) {
          best_rank = rank;
          best_at = at;
        }
    if (best_rank == merges.size()) return parts;
    parts[best_at] = merges[best_rank].joined;
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

/// Merges over 'a', 'b', 'c' in a random order, in which later ones may come before the ones they build on.
std::vector<Merge> random_merges(std::uint64_t seed) {
  std::vector<std::int32_t> known = {'a', 'b', 'c'};
  std::vector<Merge> merges;
  const auto draw = [&](std::size_t count) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>(seed >> 33U) % count;
  };
  for (std::int32_t joined = 256; joined < 276; ++joined) {
    const Merge merge{known[draw(known.size())], known[draw(known.size())], joined};
    const bool is_known = std::any_of(merges.begin(), merges.end(), [&](const Merge& other) {
      return other.left == merge.left && other.right == merge.right;
    });
    if (is_known) continue;
    merges.insert(merges.begin() + static_cast<std::ptrdiff_t>(draw(merges.size() + 1)), merge);
    known.push_back(joined);
  }
  return merges;
}

TEST(Merges, FollowTheDefinitionForPiecesOfEveryLength) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const std::vector<Merge> merges = random_merges(seed);
    const Merges model(plain_bytes(), merges);
    Merges::Scratch scratch;
    for (std::size_t length = 1; length < 130; length += length < 60 ? 1 : 23) {
      std::string piece;
      for (std::size_t at = 0; at < length; ++at)
        piece.push_back("abcaab"[(seed * 31 + at * at * (length % 7 + 1) + at / 3) % 6]);
      for (int time = 0; time < 2; ++time) {  // the second time from the cache
        std::vector<std::int32_t> tokens = {-1};
        model.encode(piece, scratch, tokens);
        std::vector<std::int32_t> wanted = by_definition(piece, merges);
        wanted.insert(wanted.begin(), -1);
        ASSERT_EQ(tokens, wanted) << piece << " with merges of seed " << seed;
      }
    }
  }
}

TEST(Merges, TakeTimeNearlyInProportionToTheLengthOfAWord) {
  std::vector<Merge> merges;  // aa, aaaa, ...: every level of a megabyte is joined
  for (std::int32_t level = 0; level < 20; ++level) {
    const std::int32_t part = level == 0 ? 'a' : 255 + level;
    merges.push_back({part, part, 256 + level});
  }
  const Merges model(plain_bytes(), merges);
  Merges::Scratch scratch;
  std::vector<std::int32_t> tokens;
  const auto start = std::chrono::steady_clock::now();
  model.encode(std::string(1U << 20U, 'a'), scratch, tokens);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(tokens, std::vector<std::int32_t>{275});
  EXPECT_LT(seconds.count(), 20) << "quadratic work on a megabyte takes hours, this takes a second";
}

TEST(PieceCache, KeepsPiecesApartWhoseHashesMeet) {
  PieceCache cache;
  const std::vector<std::int32_t> first = {1, 2}, second = {3};
  std::vector<std::int32_t> found;
  cache.put("one", 7, first);
  EXPECT_FALSE(cache.find("two", 7, found));
  EXPECT_TRUE(cache.find("one", 7, found));
  cache.put("two", 7, second);
  EXPECT_FALSE(cache.find("one", 7, found));
  EXPECT_TRUE(cache.find("two", 7, found));
  EXPECT_EQ(found, (std::vector<std::int32_t>{1, 2, 3}));
}

}  // namespace
}  // namespace switchyard::data
