#include "parallel/watchdog/judge/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace switchyard::parallel {

namespace {

// A longer gap between two looks means that the judge itself did not run.
constexpr double kLongestGap = 1.0;
// A process that is gone may only be ending: its last words count if they come at once.
constexpr int kGoneLooks = 2;
// The others are stuck, not just between two events.
constexpr double kStuckSeconds = 1.0;

// Nothing is to be said of it: it has ended well, or is out of sight.
bool is_excused(const Sight& sight) {
  return sight.life == Life::finished || !sight.is_seen;
}

// Phases in which one rank may work long on its own between two events: reading and checking a checkpoint,
// making the model, waiting for the disk. There, using the processor counts as moving.
bool is_quiet(kernels::Phase phase) {
  using kernels::Phase;
  return phase == Phase::start || phase == Phase::resume || phase == Phase::save || phase == Phase::exit;
}

}  // namespace

Judge::Judge(std::int64_t ranks, Limits limits) : limits_(limits), ages_(static_cast<std::size_t>(ranks)) {}

void Judge::grow_older(double elapsed, std::span<const Sight> sights) {
  for (std::size_t rank = 0; rank < ages_.size(); ++rank) {
    Age& age = ages_[rank];
    const Sight& sight = sights[rank];
    const bool moved = sight.current.sequence != age.sequence;
    const bool active = moved || sight.activity != age.activity;
    age.still = moved ? 0 : age.still + elapsed;
    age.idle = active ? 0 : age.idle + elapsed;
    age.silent = sight.beats != age.beats ? 0 : age.silent + elapsed;
    const bool gone = sight.life == Life::gone || sight.process == ProcessState::gone;
    age.gone_looks = gone ? age.gone_looks + 1 : 0;
    age.sequence = sight.current.sequence;
    age.activity = sight.activity;
    age.beats = sight.beats;
  }
}

bool Judge::somebody_waits(std::span<const Sight> sights, std::size_t but, double seconds) const {
  for (std::size_t rank = 0; rank < ages_.size(); ++rank)
    if (rank != but && !is_excused(sights[rank]) && sights[rank].current.is_waiting() &&
        ages_[rank].still >= seconds)
      return true;
  return false;
}

std::optional<Verdict> Judge::find_dead(std::span<const Sight> sights) const {
  for (std::size_t rank = 0; rank < ages_.size(); ++rank)
    if (!is_excused(sights[rank]) && ages_[rank].gone_looks >= kGoneLooks)
      return Verdict{Fate::dead, static_cast<std::int64_t>(rank), "its process is gone"};
  return std::nullopt;
}

std::optional<Verdict> Judge::find_silent(std::span<const Sight> sights) const {
  for (std::size_t rank = 0; rank < ages_.size(); ++rank) {
    const Sight& sight = sights[rank];
    if (is_excused(sight) || ages_[rank].silent < limits_.silent_seconds) continue;
    // On this host silence alone may be a starved machine; the process tells the difference.
    if (sight.is_here && sight.process != ProcessState::stopped) continue;
    if (!somebody_waits(sights, rank, kStuckSeconds)) continue;
    return Verdict{
        Fate::hung, static_cast<std::int64_t>(rank),
        sight.is_here
            ? fmt::format("its process was stopped (SIGSTOP or the like) {:.0f} s ago", ages_[rank].silent)
            : fmt::format("its host has sent nothing for {:.0f} s: it is stopped, down or cut off",
                          ages_[rank].silent)};
  }
  return std::nullopt;
}

std::optional<Verdict> Judge::find_still(std::span<const Sight> sights) const {
  for (std::size_t rank = 0; rank < ages_.size(); ++rank) {
    const Sight& sight = sights[rank];
    if (is_excused(sight) || sight.current.is_waiting() || sight.process == ProcessState::traced) continue;
    const double age = is_quiet(sight.current.place.phase) ? ages_[rank].idle : ages_[rank].still;
    if (age < limits_.hang_seconds || !somebody_waits(sights, rank, limits_.hang_seconds)) continue;
    return Verdict{Fate::hung, static_cast<std::int64_t>(rank),
                   fmt::format("it has not moved for {:.0f} s while others wait", age)};
  }
  return std::nullopt;
}

// All wait, nobody moves: a message was lost, or ranks have entered different collectives. The rank furthest
// behind is the nearest to a culprit.
std::optional<Verdict> Judge::find_stuck(std::span<const Sight> sights) const {
  std::optional<std::size_t> behind;
  for (std::size_t rank = 0; rank < ages_.size(); ++rank) {
    const Sight& sight = sights[rank];
    if (!sight.is_seen) return std::nullopt;
    if (is_excused(sight)) continue;
    if (!sight.current.is_waiting() || ages_[rank].still < limits_.hang_seconds ||
        sight.process == ProcessState::traced)
      return std::nullopt;
    const auto order = [&](std::size_t r) {
      const Event& event = sights[r].current;
      return std::tuple(event.place.step, event.place.phase, event.call);
    };
    if (!behind || order(rank) < order(*behind)) behind = rank;
  }
  if (!behind) return std::nullopt;
  return Verdict{Fate::hung, static_cast<std::int64_t>(*behind),
                 fmt::format("all ranks have waited for {:.0f} s and none moves; this one is furthest behind",
                             limits_.hang_seconds)};
}

std::optional<Verdict> Judge::look(double now_seconds, std::span<const Sight> sights) {
  const double elapsed = last_look_ < 0 ? 0 : std::clamp(now_seconds - last_look_, 0.0, kLongestGap);
  last_look_ = now_seconds;
  grow_older(elapsed, sights);
  // A rank with an error of its own is about to end all; what follows from that is nobody's fault.
  if (std::ranges::any_of(sights, [](const Sight& sight) { return sight.life == Life::failing; }))
    return std::nullopt;
  if (auto verdict = find_dead(sights)) return verdict;
  if (auto verdict = find_silent(sights)) return verdict;
  if (auto verdict = find_still(sights)) return verdict;
  return find_stuck(sights);
}

}  // namespace switchyard::parallel
