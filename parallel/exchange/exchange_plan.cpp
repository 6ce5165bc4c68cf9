#include "parallel/exchange/exchange_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/check.h"

namespace switchyard::parallel {

using kernels::kGradientBlockRows;

ExchangePlan::ExchangePlan(int rank, int ranks, std::int64_t experts, std::span<const std::int32_t> counts,
                           std::int64_t max_rows)
    : rank_(rank), ranks_(ranks), experts_(experts) {
  SWITCHYARD_CHECK(std::ssize(counts) == ranks * experts && experts % ranks == 0,
                   "counts (Pe, E) with Pe = {} dividing E = {}; got {} counts", ranks, experts,
                   counts.size());
  SWITCHYARD_CHECK(max_rows == 0 || max_rows >= kGradientBlockRows,
                   "a round must hold a gradient block of {} rows; got max_rows {}", kGradientBlockRows,
                   max_rows);
  SWITCHYARD_CHECK(std::all_of(counts.begin(), counts.end(), [](std::int32_t c) { return c >= 0; }),
                   "counts must not be negative");
  const auto own =
      counts.subspan(static_cast<std::size_t>(rank * experts), static_cast<std::size_t>(experts));
  own_rows_ = std::accumulate(own.begin(), own.end(), std::int64_t{0});
  round_for(0);
  for (int destination = 0; destination < ranks; ++destination) schedule(destination, counts, max_rows);
  SWITCHYARD_CHECK(
      largest_round() <= std::numeric_limits<std::int32_t>::max(),
      "segments number rows in 32 bits; got a round of {} rows. Set a bound on the rows of a round",
      largest_round());
}

ExchangePlan::Round& ExchangePlan::round_for(int round) {
  while (rounds() <= round) {
    Round empty;
    const auto peers = static_cast<std::size_t>(ranks_);
    empty.segments.resize(static_cast<std::size_t>(experts_) * 3);
    for (std::int64_t i = 0; i < experts_; ++i) {
      empty.segments[static_cast<std::size_t>(3 * i)] = static_cast<std::int32_t>(i % (experts_ / ranks_));
    }
    empty.send_begin.resize(peers);
    empty.send_rows = empty.receive_begin = empty.receive_rows = empty.send_begin;
    rounds_.push_back(std::move(empty));
  }
  return rounds_[static_cast<std::size_t>(round)];
}

// Runs are taken in the order (source, local expert) and each round is filled before the next is opened; what
// a source gives in one round is therefore one range of its sorted rows.
void ExchangePlan::schedule(int destination, std::span<const std::int32_t> counts, std::int64_t max_rows) {
  const std::int64_t local = experts_ / ranks_;
  const std::int64_t bound = max_rows == 0 ? std::numeric_limits<std::int64_t>::max() : max_rows;
  int round = 0;
  std::int64_t filled = 0;
  for (int source = 0; source < ranks_; ++source) {
    const auto row =
        counts.subspan(static_cast<std::size_t>(source * experts_), static_cast<std::size_t>(experts_));
    std::int64_t at = std::accumulate(row.begin(), row.begin() + destination * local, std::int64_t{0});
    const auto note_start = [&] {
      Round& current = round_for(round);
      if (source == rank_) current.send_begin[index(destination)] = at;
      if (destination == rank_) current.receive_begin[index(source)] = filled;
    };
    note_start();
    for (std::int64_t expert = 0; expert < local; ++expert) {
      std::int64_t left = row[static_cast<std::size_t>(destination * local + expert)];
      // The expert's entry exists in every round; its first row matters only where it has rows.
      while (left > 0) {
        const std::int64_t room = bound - filled;
        const std::int64_t take = left <= room ? left : room / kGradientBlockRows * kGradientBlockRows;
        if (take > 0) {
          Round& current = round_for(round);
          if (source == rank_) current.send_rows[index(destination)] += take;
          if (destination == rank_) {
            current.receive_rows[index(source)] += take;
            current.rows += take;
            const auto entry = static_cast<std::size_t>(3 * (source * local + expert));
            current.segments[entry + 1] = static_cast<std::int32_t>(filled);
            current.segments[entry + 2] = static_cast<std::int32_t>(take);
          }
          at += take;
          filled += take;
          left -= take;
        }
        if (left > 0) {
          ++round;
          filled = 0;
          note_start();
        }
      }
    }
  }
}

std::int64_t ExchangePlan::largest_round() const {
  std::int64_t largest = 0;
  for (const Round& round : rounds_) largest = std::max(largest, round.rows);
  return largest;
}

std::int64_t ExchangePlan::received_rows() const {
  std::int64_t rows = 0;
  for (const Round& round : rounds_) rows += round.rows;
  return rows;
}

std::int64_t ExchangePlan::kept_rows() const {
  std::int64_t rows = 0;
  for (const Round& round : rounds_) rows += round.send_rows[index(rank_)];
  return rows;
}

std::int64_t ExchangePlan::rows_sent() const {
  return own_rows_ - kept_rows();
}

ConstTensorView ExchangePlan::segments(int round) const {
  return ConstTensorView(at(round).segments.data(), DType::i32, {experts_, 3});
}

}  // namespace switchyard::parallel
