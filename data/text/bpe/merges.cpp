#include "data/text/bpe/merges.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {

/// Up to here looking at all pairs each time is faster than keeping them in order.
constexpr std::size_t kShortPiece = 48;

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U |
         static_cast<std::uint32_t>(right);
}

std::size_t scatter(std::uint64_t pair) {
  pair *= 0x9e3779b97f4a7c15ULL;
  return static_cast<std::size_t>(pair ^ pair >> 32U);
}

}  // namespace

bool PieceCache::find(std::string_view piece, std::uint64_t hash, std::vector<std::int32_t>& tokens) const {
  const Place& place = places_[hash % kPlaces];
  if (place.length != piece.size() || std::memcmp(place.piece.data(), piece.data(), piece.size()) != 0)
    return false;
  tokens.insert(tokens.end(), place.tokens.begin(), place.tokens.begin() + place.num_tokens);
  return true;
}

void PieceCache::put(std::string_view piece, std::uint64_t hash, std::span<const std::int32_t> tokens) {
  if (tokens.size() > kMaxTokens) return;
  Place& place = places_[hash % kPlaces];
  place.length = static_cast<std::uint8_t>(piece.size());
  place.num_tokens = static_cast<std::uint8_t>(tokens.size());
  std::copy(piece.begin(), piece.end(), place.piece.begin());
  std::copy(tokens.begin(), tokens.end(), place.tokens.begin());
}

Merges::Merges(std::array<std::int32_t, 256> byte_tokens, std::span<const Merge> merges)
    : byte_tokens_(byte_tokens), slots_(std::bit_ceil(std::max<std::size_t>(16, merges.size() * 2))) {
  joined_.reserve(merges.size());
  for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    std::size_t at = scatter(pair_of(merge.left, merge.right)) % slots_.size();
    while (slots_[at].pair != kNoPair) {
      SWITCHYARD_CHECK(slots_[at].pair != pair_of(merge.left, merge.right), "merge {} is there twice", rank);
      at = (at + 1) % slots_.size();
    }
    slots_[at] = {pair_of(merge.left, merge.right), rank, merge.joined};
    joined_.push_back(merge.joined);
  }
}

const Merges::Slot* Merges::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_of(left, right);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = scatter(pair) & mask;; at = (at + 1) & mask) {
    if (slots_[at].pair == pair) return &slots_[at];
    if (slots_[at].pair == kNoPair) return nullptr;
  }
}

std::uint32_t Merges::rank(std::int32_t left, std::int32_t right) const {
  const Slot* slot = find(left, right);
  return slot == nullptr ? kNoRank : slot->rank;
}

void Merges::encode(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& tokens) const {
  if (piece.size() > PieceCache::kMaxPieceBytes) {
    if (piece.size() <= kShortPiece) return merge_short(piece, scratch, tokens);
    return merge_long(piece, scratch, tokens);
  }
  const std::uint64_t hash = XXH3_64bits(piece.data(), piece.size());
  if (scratch.cache.find(piece, hash, tokens)) return;
  const std::size_t begin = tokens.size();
  merge_short(piece, scratch, tokens);
  scratch.cache.put(piece, hash, std::span(tokens).subspan(begin));
}

void Merges::merge_short(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& tokens) const {
  std::vector<std::int32_t>& parts = scratch.tokens;
  std::vector<std::uint32_t>& ranks = scratch.ranks;  // of part i with part i + 1
  parts.clear();
  for (const char byte : piece) parts.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
  ranks.assign(parts.size(), kNoRank);
  for (std::size_t at = 0; at + 1 < parts.size(); ++at) ranks[at] = rank(parts[at], parts[at + 1]);
  for (;;) {
    const auto lowest = std::min_element(ranks.begin(), ranks.end());  // the first of equals
    if (*lowest == kNoRank) break;
    const auto at = static_cast<std::size_t>(lowest - ranks.begin());
    parts[at] = joined_[*lowest];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    ranks.erase(lowest);
    if (at > 0) ranks[at - 1] = rank(parts[at - 1], parts[at]);
    ranks[at] = at + 1 < parts.size() ? rank(parts[at], parts[at + 1]) : kNoRank;
  }
  tokens.insert(tokens.end(), parts.begin(), parts.end());
}

// Parts are a linked list over the places of the piece's bytes. The queue holds (rank, place of the left
// part); an entry whose pair has changed since no longer has the rank that the place has now, and is passed
// over.
void Merges::merge_long(std::string_view piece, Scratch& scratch, std::vector<std::int32_t>& tokens) const {
  const std::size_t length = piece.size();
  SWITCHYARD_CHECK(length < (1ULL << 32U) - 1, "a piece of {} bytes", length);
  const auto none = static_cast<std::uint32_t>(length);
  std::vector<std::int32_t>& parts = scratch.tokens;
  std::vector<std::uint32_t>&ranks = scratch.ranks, &previous = scratch.previous, &next = scratch.next;
  parts.resize(length);
  ranks.assign(length, kNoRank);
  previous.resize(length);
  next.resize(length);
  for (std::uint32_t at = 0; at < none; ++at) {
    parts[at] = byte_tokens_[static_cast<unsigned char>(piece[at])];
    previous[at] = at == 0 ? none : at - 1;
    next[at] = at + 1;
  }
  std::vector<std::uint64_t>& queue = scratch.queue;
  queue.clear();
  const auto entry = [&](std::uint32_t at) { return static_cast<std::uint64_t>(ranks[at]) << 32U | at; };
  for (std::uint32_t at = 0; at + 1 < none; ++at) {
    ranks[at] = rank(parts[at], parts[at + 1]);
    if (ranks[at] != kNoRank) queue.push_back(entry(at));
  }
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  const auto renew = [&](std::uint32_t at) {
    ranks[at] = next[at] == none ? kNoRank : rank(parts[at], parts[next[at]]);
    if (ranks[at] == kNoRank) return;
    queue.push_back(entry(at));
    std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const std::uint64_t top = queue.back();
    queue.pop_back();
    const auto at = static_cast<std::uint32_t>(top);
    if (ranks[at] != top >> 32U) continue;
    const std::uint32_t right = next[at];
    parts[at] = joined_[ranks[at]];
    ranks[right] = kNoRank;
    next[at] = next[right];
    if (next[at] != none) previous[next[at]] = at;
    renew(at);
    if (previous[at] != none) renew(previous[at]);
  }
  for (std::uint32_t at = 0; at != none; at = next[at]) tokens.push_back(parts[at]);
}

}  // namespace switchyard::data
