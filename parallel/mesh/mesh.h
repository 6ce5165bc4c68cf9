// Ranks as a grid of named axes. Today: `data` (all P ranks) and `expert`, which divides it. Pipeline,
// context and tensor axes would become further factors of the same rank number.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

/// Where each rank stands: rank = replica * expert_axis + expert. Pure numbers, no communication.
class MeshLayout {
 public:
  /// `ranks` is P, `expert_axis` is Pe, `experts` is E (0 for a model without experts). Throws UserError,
  /// with the layouts that are possible, unless Pe divides P and E.
  MeshLayout(int ranks, int expert_axis, std::int64_t experts);

  int ranks() const { return ranks_; }
  int expert_axis() const { return expert_axis_; }
  int replicas() const { return ranks_ / expert_axis_; }
  std::int64_t experts() const { return experts_; }

  /// Coordinate on the expert axis: which run of experts the rank holds.
  int expert_coordinate(int rank) const { return rank % expert_axis_; }
  /// Which copy of all experts the rank belongs to.
  int replica(int rank) const { return rank / expert_axis_; }
  int rank_at(int replica, int expert_coordinate) const { return replica * expert_axis_ + expert_coordinate; }

  /// Experts on each rank; expert e lives at coordinate e / experts_per_rank().
  std::int64_t experts_per_rank() const { return experts_ / expert_axis_; }
  std::int64_t first_expert(int rank) const { return expert_coordinate(rank) * experts_per_rank(); }

  /// Sizes of the expert axis that P ranks and E experts allow, rising.
  static std::vector<int> possible_expert_axes(int ranks, std::int64_t experts);

 private:
  int ranks_;
  int expert_axis_;
  std::int64_t experts_;
};

/// A layout with the communicators of its axes. Refers to `world`, which must outlive it.
class Mesh {
 public:
  /// Collective over `world`. Throws as MeshLayout does, on all ranks alike.
  Mesh(Communicator& world, int expert_axis, std::int64_t experts);

  const MeshLayout& layout() const { return layout_; }
  int rank() const { return data_.rank(); }
  int expert_coordinate() const { return layout_.expert_coordinate(rank()); }
  int replica() const { return layout_.replica(rank()); }
  std::int64_t first_expert() const { return layout_.first_expert(rank()); }

  /// All ranks: each computes units of its own; dense sums cross it.
  Communicator& data() { return data_; }
  /// The Pe ranks that hold one whole copy of the experts; rank there = expert coordinate. Rows cross it.
  Communicator& expert() { return *expert_; }
  /// The P / Pe ranks that hold the same experts; rank there = replica. Expert sums cross it.
  Communicator& replicas() { return *replicas_; }

 private:
  MeshLayout layout_;
  Communicator& data_;
  std::unique_ptr<Communicator> expert_;
  std::unique_ptr<Communicator> replicas_;
};

}  // namespace switchyard::parallel
