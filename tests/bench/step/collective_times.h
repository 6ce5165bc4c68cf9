// How long the ranks of one host spend in each kind of collective, and how much of that is waiting for the
// last.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "parallel/communicators/communicator.h"

namespace switchyard::bench {

/// Seconds of one kind of collective over all calls since the last clear().
struct CollectiveTime {
  double inside = 0;  ///< of this rank, from entering to leaving
  double exchange =
      0;  ///< from the last rank's entering to the last rank's leaving: what no balance would save
};

/// Notes when this rank enters and leaves. The ranks must share one clock, that is, one host.
class CollectiveTimes final : public parallel::CollectiveObserver {
 public:
  void entered(std::string_view communicator, const parallel::Call& call) override;
  void left(std::string_view communicator, const parallel::Call& call) override;
  void clear();

  /// One entry per kind (parallel::Collective). Collective over `group`, whose ranks have entered the same
  /// collectives since clear(); the calls that this makes itself are not counted.
  std::array<CollectiveTime, parallel::kCollectives> totals(parallel::Communicator& group);

 private:
  struct Event {
    std::int64_t kind = 0;
    std::int64_t entered = 0;  // nanoseconds
    std::int64_t left = 0;
  };
  bool on_ = true;
  std::vector<Event> events_;
};

}  // namespace switchyard::bench
