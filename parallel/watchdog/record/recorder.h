// This rank's own pen: turns places and collectives into events on the board. A few dozen plain stores and
// one look at the clock for each; called on the rank's own thread only.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels/runtime/place.h"
#include "parallel/communicators/communicator.h"
#include "parallel/watchdog/record/board.h"

namespace switchyard::parallel {

class Recorder final : public CollectiveObserver, public kernels::PlaceObserver {
 public:
  /// Both outlive the recorder.
  Recorder(RankStatus& status, EventRing& ring) : status_(status), ring_(ring) {}

  void entered(const kernels::Place& place) override;
  void entered(std::string_view communicator, const Call& call) override;
  void started(std::string_view communicator, const Call& call) override;
  void waits(std::string_view communicator, const Call& call) override;
  void left(std::string_view communicator, const Call& call) override;
  /// As EventRing::read; for any thread.
  std::int64_t read(Event* out) const { return ring_.read(out); }
  /// From now on this rank waits for all to close.
  void closing();

 private:
  void add(EventKind kind);
  void add(EventKind kind, std::string_view communicator, const Call& call);
  void account(std::int64_t now);

  RankStatus& status_;
  EventRing& ring_;
  Event event_;
  std::int64_t last_ns_ = 0;
  std::int64_t busy_ns_ = 0;  // of the step under way
  bool is_waiting_ = false;
};

/// CLOCK_MONOTONIC.
std::int64_t monotonic_ns();

}  // namespace switchyard::parallel
