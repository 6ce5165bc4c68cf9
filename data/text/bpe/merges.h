// Byte-pair merging: from the bytes of a piece to its tokens.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace switchyard::data {

struct Merge {
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::int32_t joined = 0;  // the token of both
};

/// Tokens of short pieces that were merged before. A fixed number of places; a newcomer takes the place of
/// whoever is in its way. Results never depend on it.
class PieceCache {
 public:
  static constexpr std::size_t kMaxPieceBytes = 30;
  static constexpr std::size_t kMaxTokens = 8;

  PieceCache() : places_(kPlaces) {}
  /// The tokens of this piece, if known.
  bool find(std::string_view piece, std::uint64_t hash, std::vector<std::int32_t>& tokens) const;
  void put(std::string_view piece, std::uint64_t hash, std::span<const std::int32_t> tokens);

 private:
  static constexpr std::size_t kPlaces = 1U << 15;  // 64 bytes each: 2 MiB
  struct Place {
    std::uint8_t length = 0;  // 0 = free
    std::uint8_t num_tokens = 0;
    std::array<char, kMaxPieceBytes> piece{};
    std::array<std::int32_t, kMaxTokens> tokens{};
  };
  std::vector<Place> places_;
};

class Merges {
 public:
  /// `byte_tokens[b]` is the token of byte b; `merges` in order of rank, no pair twice.
  Merges(std::array<std::int32_t, 256> byte_tokens, std::span<const Merge> merges);

  /// Working memory of one thread.
  struct Scratch {
    PieceCache cache;
    std::vector<std::int32_t> tokens;
    std::vector<std::uint32_t> ranks;
    std::vector<std::uint32_t> previous, next;
    std::vector<std::uint64_t> queue;
  };

  /// Appends the tokens of a piece that is not empty: again and again the pair of lowest rank is joined, the
  /// leftmost of equals first. O(n log n) for n bytes.
  void encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& tokens) const;

 private:
  struct Slot {
    std::uint64_t pair = kNoPair;
    std::uint32_t rank = 0;
    std::int32_t joined = 0;
  };
  static constexpr std::uint64_t kNoPair = ~0ULL;
  static constexpr std::uint32_t kNoRank = ~0U;

  const Slot* find(std::int32_t left, std::int32_t right) const;
  std::uint32_t rank(std::int32_t left, std::int32_t right) const;
  void merge_short(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& tokens) const;
  void merge_long(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& tokens) const;

  std::array<std::int32_t, 256> byte_tokens_;
  std::vector<Slot> slots_;           // open addressing; a power of two
  std::vector<std::int32_t> joined_;  // by rank
};

}  // namespace switchyard::data
