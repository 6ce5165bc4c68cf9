#include "parallel/sums/shard_layout.h"

#include <algorithm>

#include "kernels/runtime/check.h"

namespace switchyard::parallel {

namespace {

using kernels::kNormBlock;

std::int64_t round_up(std::int64_t value) {
  return (value + kNormBlock - 1) / kNormBlock * kNormBlock;
}

/// Calls visit(flat_begin, flat_end) for the part ranges of a tensor.
template <typename Visit>
void for_each_part(const ShardTensor& tensor, std::int64_t flat_begin, Visit visit) {
  if (tensor.elements == 0) return;
  const std::int64_t part_elements = tensor.elements / tensor.parts;
  for (std::int64_t part = 0; part < tensor.parts; ++part) {
    visit(part, flat_begin + part * part_elements, flat_begin + (part + 1) * part_elements);
  }
}

}  // namespace

ShardLayout::ShardLayout(std::span<const ShardTensor> tensors, int ranks)
    : tensors_(tensors.begin(), tensors.end()) {
  SWITCHYARD_CHECK(ranks >= 1, "shards for at least one rank; got {}", ranks);
  std::int64_t flat = 0;
  for (const ShardTensor& tensor : tensors_) {
    SWITCHYARD_CHECK(tensor.elements >= 0 && tensor.parts >= 1 && tensor.elements % tensor.parts == 0,
                     "a tensor has equal parts; got {} elements in {} parts", tensor.elements, tensor.parts);
    begins_.push_back(flat);
    flat += round_up(tensor.elements);
  }
  begins_.push_back(flat);

  // Cut p is the last start of a run at or before flat * p / ranks.
  cuts_.assign(static_cast<std::size_t>(ranks) + 1, flat);
  cuts_[0] = 0;
  std::size_t tensor = 0;
  for (int p = 1; p < ranks; ++p) {
    const std::int64_t wish = flat / ranks * p + flat % ranks * p / ranks;
    while (tensor + 1 < tensors_.size() && begins_[tensor + 1] <= wish) ++tensor;
    std::int64_t cut = 0;
    if (!tensors_.empty()) {
      const std::int64_t begin = begins_[tensor];
      cut = begin;
      for_each_part(tensors_[tensor], begin, [&](std::int64_t, std::int64_t from, std::int64_t) {
        if (from <= wish) cut = from;
      });
      const std::int64_t last = begin + tensors_[tensor].elements - 1;
      cut += std::max<std::int64_t>(0, std::min(wish, last) - cut) / kNormBlock * kNormBlock;
    }
    cuts_[static_cast<std::size_t>(p)] = std::max(cut, cuts_[static_cast<std::size_t>(p) - 1]);
  }
}

std::int64_t ShardLayout::largest_shard() const {
  std::int64_t largest = 0;
  for (int rank = 0; rank < ranks(); ++rank) largest = std::max(largest, shard_size(rank));
  return largest;
}

std::vector<ShardPiece> ShardLayout::pieces(int rank) const {
  std::vector<ShardPiece> pieces;
  const std::int64_t begin = shard_begin(rank);
  const std::int64_t end = shard_end(rank);
  const auto next = std::upper_bound(begins_.begin(), begins_.end() - 1, begin);
  for (auto t = std::max<std::int64_t>(0, next - begins_.begin() - 1); t < tensors() && flat_begin(t) < end;
       ++t) {
    const std::int64_t origin = flat_begin(t);
    for_each_part(tensors_[static_cast<std::size_t>(t)], origin,
                  [&](std::int64_t part, std::int64_t from, std::int64_t to) {
                    from = std::max(from, begin);
                    to = std::min(to, end);
                    if (from < to) pieces.push_back({t, part, from - origin, to - origin, from});
                  });
  }
  return pieces;
}

std::vector<std::int64_t> ShardLayout::counts(std::int64_t first, std::int64_t last) const {
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < ranks(); ++rank) {
    const std::int64_t from = std::max(shard_begin(rank), flat_begin(first));
    const std::int64_t to = std::min(shard_end(rank), flat_begin(last));
    counts.push_back(std::max<std::int64_t>(0, to - from));
  }
  return counts;
}

}  // namespace switchyard::parallel
