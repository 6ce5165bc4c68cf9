#include "tests/bench/step/collective_times.h"

#include <algorithm>
#include <chrono>

#include "kernels/runtime/check.h"

namespace switchyard::bench {

namespace {

std::int64_t now() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}

}  // namespace

void CollectiveTimes::entered(std::string_view /*communicator*/, const parallel::Call& call) {
  if (on_) events_.push_back({static_cast<std::int64_t>(call.kind), now(), 0});
}

void CollectiveTimes::left(std::string_view /*communicator*/, const parallel::Call& /*call*/) {
  if (on_) events_.back().left = now();
}

void CollectiveTimes::clear() {
  events_.clear();
  on_ = true;
}

std::array<CollectiveTime, parallel::kCollectives> CollectiveTimes::totals(parallel::Communicator& group) {
  on_ = false;
  std::vector<Event> all(events_.size() * static_cast<std::size_t>(group.size()));
  group.all_gather(std::as_bytes(std::span(events_)), std::as_writable_bytes(std::span(all)));
  std::array<CollectiveTime, parallel::kCollectives> totals;
  for (std::size_t i = 0; i < events_.size(); ++i) {
    const Event& own = events_[i];
    std::int64_t entered = own.entered, left = own.left;
    for (int rank = 0; rank < group.size(); ++rank) {
      const Event& other = all[static_cast<std::size_t>(rank) * events_.size() + i];
      SWITCHYARD_CHECK(other.kind == own.kind, "event {} of rank {} is of another kind", i, rank);
      entered = std::max(entered, other.entered);
      left = std::max(left, other.left);
    }
    CollectiveTime& total = totals[static_cast<std::size_t>(own.kind)];
    total.inside += static_cast<double>(own.left - own.entered) * 1e-9;
    total.exchange += static_cast<double>(left - entered) * 1e-9;
  }
  return totals;
}

}  // namespace switchyard::bench
