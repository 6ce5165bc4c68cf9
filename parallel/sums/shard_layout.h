// Who owns which part of a list of parameters (ZeRO-1, Rajbhandari et al. 2020): the tensors lie one after
// the other in one flat space, cut into one contiguous shard per rank. Cuts fall only between the runs of
// elements over which the gradient norm is taken, so that the norm is the same for every number of shards.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops/adamw.h"

namespace switchyard::parallel {

/// One parameter as this rank holds it.
struct ShardTensor {
  std::int64_t elements = 0;
  /// Equal parts along dim 0 in which norm runs start anew: the local experts of a stacked expert parameter
  /// (so that runs do not depend on how many experts share a rank); 1 for others.
  std::int64_t parts = 1;
};

/// A contiguous range of one part of one tensor. Begins at a multiple of kNormBlock from the part's start.
struct ShardPiece {
  std::int64_t tensor = 0;  ///< index in the list
  std::int64_t part = 0;
  std::int64_t begin = 0;  ///< elements of the tensor
  std::int64_t end = 0;
  std::int64_t flat_begin = 0;  ///< where `begin` lies in the flat space
  std::int64_t elements() const { return end - begin; }
  bool operator==(const ShardPiece&) const = default;
};

class ShardLayout {
 public:
  /// Each tensor starts at a multiple of kNormBlock of the flat space. Shards are as even as cuts between
  /// runs allow; with more ranks than runs some are empty.
  ShardLayout(std::span<const ShardTensor> tensors, int ranks);

  int ranks() const { return static_cast<int>(cuts_.size()) - 1; }
  std::int64_t tensors() const { return std::ssize(tensors_); }
  std::int64_t elements(std::int64_t tensor) const {
    return tensors_[static_cast<std::size_t>(tensor)].elements;
  }
  /// Size of the flat space, padding included.
  std::int64_t flat_size() const { return cuts_.back(); }
  /// Where a tensor starts in the flat space; flat_begin(tensors()) is flat_size().
  std::int64_t flat_begin(std::int64_t tensor) const { return begins_[static_cast<std::size_t>(tensor)]; }
  /// The shard of `rank`, as a range of the flat space.
  std::int64_t shard_begin(int rank) const { return cuts_[static_cast<std::size_t>(rank)]; }
  std::int64_t shard_end(int rank) const { return cuts_[static_cast<std::size_t>(rank) + 1]; }
  std::int64_t shard_size(int rank) const { return shard_end(rank) - shard_begin(rank); }
  /// Largest shard of any rank.
  std::int64_t largest_shard() const;

  /// What the shard of `rank` holds, in flat order, padding left out. The pieces of all ranks cover every
  /// element of every tensor once.
  std::vector<ShardPiece> pieces(int rank) const;

  /// For each rank the size of the overlap of its shard with the flat range of tensors [first, last).
  std::vector<std::int64_t> counts(std::int64_t first, std::int64_t last) const;

 private:
  std::vector<ShardTensor> tensors_;
  std::vector<std::int64_t> begins_;
  std::vector<std::int64_t> cuts_;
};

}  // namespace switchyard::parallel
