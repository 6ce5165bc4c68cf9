// Who is at fault, from what is seen of all ranks. Pure: time and sights come from outside.
//
// Waiting is never a fault. A rank is dead when its process is gone; hung when others wait and it does not
// move. Time counts only while the judge itself runs, so a machine that sleeps accuses nobody.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "parallel/watchdog/record/board.h"
#include "parallel/watchdog/record/events.h"

namespace switchyard::parallel {

/// What is seen of a rank's process from its own host.
enum class ProcessState : std::uint8_t {
  unknown,  ///< not looked at, or on another host
  runs,
  stopped,  ///< by SIGSTOP or its like
  traced,   ///< a debugger holds it
  gone,
};

struct Sight {
  Life life = Life::runs;
  bool is_here = true;  ///< on the judge's own host
  bool is_seen = true;  ///< false: nothing is known of it, and it is not judged
  ProcessState process = ProcessState::unknown;
  std::uint64_t beats = 0;
  std::uint64_t activity = 0;
  Event current;
};

struct Limits {
  double silent_seconds = 7;  ///< without a beat of its watcher, while others wait
  double hang_seconds = 300;  ///< without moving, while others wait
};

struct Verdict {
  Fate fate = Fate::none;
  std::int64_t rank = 0;
  std::string reason;  ///< "its process was stopped", with times
};

class Judge {
 public:
  Judge(std::int64_t ranks, Limits limits);
  /// The first fault, if there is one. `now_seconds` never falls.
  std::optional<Verdict> look(double now_seconds, std::span<const Sight> sights);
  /// How long the rank's watcher has been silent.
  double silent_seconds(std::int64_t rank) const { return ages_[static_cast<std::size_t>(rank)].silent; }

 private:
  struct Age {
    std::int64_t sequence = -1;
    std::uint64_t beats = 0;
    std::uint64_t activity = 0;
    double still = 0;   ///< since its last event
    double silent = 0;  ///< since its watcher's last beat
    double idle = 0;    ///< since its last event or use of the processor
    int gone_looks = 0;
  };
  void grow_older(double elapsed, std::span<const Sight> sights);
  std::optional<Verdict> find_dead(std::span<const Sight> sights) const;
  std::optional<Verdict> find_silent(std::span<const Sight> sights) const;
  std::optional<Verdict> find_still(std::span<const Sight> sights) const;
  std::optional<Verdict> find_stuck(std::span<const Sight> sights) const;
  bool somebody_waits(std::span<const Sight> sights, std::size_t but, double seconds) const;

  Limits limits_;
  std::vector<Age> ages_;
  double last_look_ = -1;
};

}  // namespace switchyard::parallel
