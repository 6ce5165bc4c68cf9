// Routed rows to the ranks that hold their experts, and back: one all-to-all each way and round.
//
// Use, for each MoE layer and micro step (backward: the same calls with dy out and dx back):
//   const ExchangePlan plan = exchange.plan(counts);
//   for (int round = 0; round < plan.rounds(); ++round) {
//     const TensorView received = exchange.received(plan, round, sorted_rows, buffer);
//     exchange.dispatch(plan, round, received, sorted_rows);
//     ... experts on `received` with plan.segments(round), into `results` = exchange.received(...,
//     sorted_out, ...) exchange.combine(plan, round, sorted_out, results);
//   }
#pragma once

#include <memory>

#include "parallel/communicators/communicator.h"
#include "parallel/exchange/exchange_plan.h"

namespace switchyard::parallel {

/// Rows are of any dtype and width C, contiguous, in host memory or, where the group reaches it, in device
/// memory. With one rank on the axis nothing is copied: the rows of a round are a range of the sorted rows
/// themselves.
class RowExchange {
 public:
  /// `group` is the expert axis (rank = expert coordinate) and must outlive this. max_rows bounds the rows
  /// that a rank receives in one round, 0 for no bound; throws UserError where it is less than
  /// kGradientBlockRows.
  RowExchange(Communicator& group, std::int64_t experts, std::int64_t max_rows);

  std::int64_t max_rows() const { return max_rows_; }

  /// Collective. counts (E) i32: rows of this rank's unit for each expert. One all-gather of 4 E bytes.
  ExchangePlan plan(ConstTensorView counts);

  /// Where the rows of a round live on the experts' side, (rows(round), C): the first rows of `buffer`
  /// (at least largest_round() rows of the same width and dtype) or, with one rank, the rows of `sorted`.
  TensorView received(const ExchangePlan& plan, int round, TensorView sorted, TensorView buffer) const;

  /// received (rows(round), C) = the rows that this round brings from sorted (own_rows(), C) of all ranks.
  void dispatch(const ExchangePlan& plan, int round, TensorView received, ConstTensorView sorted);
  /// The way back: overwrites, of sorted (own_rows(), C), the rows that this round sent. After all rounds
  /// every row has been written.
  void combine(const ExchangePlan& plan, int round, TensorView sorted, ConstTensorView received);

  /// As dispatch and combine, but the rows are there once the handle has been waited for.
  std::unique_ptr<Pending> start_dispatch(const ExchangePlan& plan, int round, TensorView received,
                                          ConstTensorView sorted);
  std::unique_ptr<Pending> start_combine(const ExchangePlan& plan, int round, TensorView sorted,
                                         ConstTensorView received);

 private:
  Communicator& group_;
  std::int64_t experts_;
  std::int64_t max_rows_;
};

}  // namespace switchyard::parallel
