// What a rank did last, as records of fixed size that another process may read while they are written.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/place.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::parallel {

enum class EventKind : std::uint8_t {
  place,    ///< a new phase or block
  entered,  ///< a collective that blocks, or the start of one that does not
  started,  ///< control came back from the start
  waits,    ///< blocks until a started collective has ended
  left,     ///< the collective has ended here
  closing,  ///< waits for all ranks to close
};
std::string_view event_kind_name(EventKind kind);

struct Event {
  std::int64_t sequence = 0;  ///< of the rank, from 1; 0 = none
  std::int64_t time_ns = 0;   ///< CLOCK_MONOTONIC of the rank's host
  EventKind kind = EventKind::place;
  kernels::Place place;  ///< when it happened
  Collective collective = Collective::barrier;
  std::int64_t call = 0;        ///< sequence number of the collective in its group
  std::int64_t bytes = 0;       ///< this rank's payload
  std::array<char, 8> group{};  ///< of the communicator's name, cut

  std::string_view group_name() const;
  /// Blocked in a collective, or in the closing of all ranks.
  bool is_waiting() const;
  /// "waits in all_reduce #7 of data" or "forward, layer 3", without step and unit.
  std::string what() const;
  /// "step 17, micro-batch 2, forward, layer 3"
  std::string where() const;
};

/// One event in memory that several processes share. One writer; readers never block it.
class SharedEvent {
 public:
  void write(const Event& event);
  /// False if it was overwritten while it was read.
  bool read(Event& event) const;

 private:
  static constexpr std::size_t kWords = 8;
  std::array<std::atomic<std::uint64_t>, kWords> words_;
};
static_assert(sizeof(SharedEvent) == 64 && std::atomic<std::uint64_t>::is_always_lock_free);

/// The last events of a rank.
class EventRing {
 public:
  static constexpr std::int64_t kEvents = 1000;
  void add(const Event& event) { events_[slot(event.sequence)].write(event); }
  /// The events that are there and whole, oldest first; `out` has room for kEvents. Returns their number.
  /// Allocates nothing.
  std::int64_t read(Event* out) const;

 private:
  static std::size_t slot(std::int64_t sequence) { return static_cast<std::size_t>(sequence % kEvents); }
  std::array<SharedEvent, kEvents> events_;
};

}  // namespace switchyard::parallel
