// Which routed rows go where, and in which round. A pure function of the counts that all ranks of the expert
// axis know, so that all make the same plan.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/runtime/tensor.h"

namespace switchyard::parallel {

/// Letters: Pe ranks on the expert axis, E experts, E_loc = E / Pe experts on each rank. Rank s holds rows
/// sorted by (expert, token): one run of counts (s, e) rows for each expert e. A rank receives, in every
/// round, rows in the order (source, local expert). A round brings a rank at most max_rows; a run is cut only
/// at multiples of kGradientBlockRows from its start, so the blocks of its weight gradient, and thus the
/// bits, are those of the uncut run.
class ExchangePlan {
 public:
  /// counts (Pe, E) i32, row-major, copied. max_rows: at least kGradientBlockRows, or 0 for no bound.
  ExchangePlan(int rank, int ranks, std::int64_t experts, std::span<const std::int32_t> counts,
               std::int64_t max_rows);

  /// At least 1, the same on all ranks.
  int rounds() const { return static_cast<int>(rounds_.size()); }
  /// Rows that this rank receives in a round.
  std::int64_t rows(int round) const { return at(round).rows; }
  /// Greatest rows(round): what a receive buffer must hold.
  std::int64_t largest_round() const;
  /// Rows of this rank's own unit: the sum of its counts.
  std::int64_t own_rows() const { return own_rows_; }
  /// Rows that this rank receives in all rounds together.
  std::int64_t received_rows() const;

  /// (Pe * E_loc, 3) i32 {local expert, first row, rows} over the rows of a round, in order (source, local
  /// expert), zero rows included: what kernels::grouped_linear_forward wants. Lives as long as the plan.
  ConstTensorView segments(int round) const;

  /// The rows of the own sorted rows that go to rank `peer` in a round: one range.
  std::int64_t send_begin(int round, int peer) const { return at(round).send_begin[index(peer)]; }
  std::int64_t send_rows(int round, int peer) const { return at(round).send_rows[index(peer)]; }
  /// The rows that come from rank `peer` in a round: one range of the received rows.
  std::int64_t receive_begin(int round, int peer) const { return at(round).receive_begin[index(peer)]; }
  std::int64_t receive_rows(int round, int peer) const { return at(round).receive_rows[index(peer)]; }

  /// Rows sent to other ranks in all rounds: each costs its bytes once in dispatch and is received once in
  /// combine.
  std::int64_t rows_sent() const;
  /// Rows received from other ranks in all rounds.
  std::int64_t rows_taken_in() const { return received_rows() - kept_rows(); }

  int ranks() const { return ranks_; }

 private:
  struct Round {
    std::int64_t rows = 0;
    std::vector<std::int32_t> segments;
    std::vector<std::int64_t> send_begin, send_rows, receive_begin, receive_rows;
  };
  static std::size_t index(int peer) { return static_cast<std::size_t>(peer); }
  const Round& at(int round) const { return rounds_[static_cast<std::size_t>(round)]; }
  Round& round_for(int round);
  void schedule(int destination, std::span<const std::int32_t> counts, std::int64_t max_rows);
  std::int64_t kept_rows() const;

  int rank_;
  int ranks_;
  std::int64_t experts_;
  std::int64_t own_rows_ = 0;
  std::vector<Round> rounds_;
};

}  // namespace switchyard::parallel
