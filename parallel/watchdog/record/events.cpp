#include "parallel/watchdog/record/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace switchyard::parallel {

namespace {

constexpr std::array<std::string_view, 6> kKindNames = {"place", "entered", "started",
                                                        "waits", "left",    "closing"};

std::uint64_t pair_of(std::int32_t low, std::int32_t high) {
  return static_cast<std::uint32_t>(low) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(high)) << 32;
}

}  // namespace

std::string_view event_kind_name(EventKind kind) {
  return kKindNames[static_cast<std::size_t>(kind)];
}

std::string_view Event::group_name() const {
  return {group.data(), static_cast<std::size_t>(std::ranges::find(group, '\0') - group.begin())};
}

bool Event::is_waiting() const {
  return kind == EventKind::entered || kind == EventKind::waits || kind == EventKind::closing;
}

std::string Event::what() const {
  if (kind == EventKind::closing) return "waits for all ranks to close";
  if (kind == EventKind::entered || kind == EventKind::waits)
    return fmt::format("waits in {} #{} of {}", collective_name(collective), call, group_name());
  std::string text(phase_name(place.phase));
  if (place.layer >= 0) text += fmt::format(", layer {}", place.layer);
  return text;
}

std::string Event::where() const {
  std::string text = fmt::format("step {}", place.step);
  if (place.unit >= 0) text += fmt::format(", micro-batch {}", place.unit);
  text += fmt::format(", {}", phase_name(place.phase));
  if (place.layer >= 0) text += fmt::format(", layer {}", place.layer);
  return text;
}

// The sequence is written last and read twice; 0 in between says that the rest is not whole. Every word is
// released and acquired: who sees a new word therefore sees the 0 that came before it, or what came later,
// when it reads the sequence again. (Fences would say the same, but the thread sanitizer does not understand
// them.)
void SharedEvent::write(const Event& event) {
  constexpr auto release = std::memory_order_release;
  words_[0].store(0, std::memory_order_relaxed);
  words_[1].store(static_cast<std::uint64_t>(event.time_ns), release);
  words_[2].store(static_cast<std::uint64_t>(event.kind) |
                      static_cast<std::uint64_t>(event.place.phase) << 8 |
                      static_cast<std::uint64_t>(event.collective) << 16,
                  release);
  words_[3].store(pair_of(event.place.unit, event.place.layer), release);
  words_[4].store(static_cast<std::uint64_t>(event.place.step), release);
  words_[5].store(static_cast<std::uint64_t>(event.call), release);
  words_[6].store(static_cast<std::uint64_t>(event.bytes), release);
  words_[7].store(std::bit_cast<std::uint64_t>(event.group), release);
  words_[0].store(static_cast<std::uint64_t>(event.sequence), release);
}

bool SharedEvent::read(Event& event) const {
  constexpr auto acquire = std::memory_order_acquire;
  const std::uint64_t sequence = words_[0].load(acquire);
  if (sequence == 0) return false;
  const std::uint64_t kinds = words_[2].load(acquire);
  const std::uint64_t unit_layer = words_[3].load(acquire);
  event.sequence = static_cast<std::int64_t>(sequence);
  event.time_ns = static_cast<std::int64_t>(words_[1].load(acquire));
  // What another process wrote is not trusted to be an enumerator.
  event.kind = static_cast<EventKind>(std::min<std::uint64_t>(kinds & 0xff, kKindNames.size() - 1));
  event.place.phase =
      static_cast<kernels::Phase>(std::min<std::uint64_t>(kinds >> 8 & 0xff, kernels::kPhases - 1));
  event.collective = static_cast<Collective>(std::min<std::uint64_t>(kinds >> 16 & 0xff, kCollectives - 1));
  event.place.unit = static_cast<std::int32_t>(static_cast<std::uint32_t>(unit_layer));
  event.place.layer = static_cast<std::int32_t>(static_cast<std::uint32_t>(unit_layer >> 32));
  event.place.step = static_cast<std::int64_t>(words_[4].load(acquire));
  event.call = static_cast<std::int64_t>(words_[5].load(acquire));
  event.bytes = static_cast<std::int64_t>(words_[6].load(acquire));
  event.group = std::bit_cast<std::array<char, 8>>(words_[7].load(acquire));
  return words_[0].load(std::memory_order_relaxed) == sequence;
}

std::int64_t EventRing::read(Event* out) const {
  std::int64_t count = 0;
  for (const SharedEvent& event : events_)
    if (event.read(out[count])) ++count;
  std::sort(out, out + count, [](const Event& a, const Event& b) { return a.sequence < b.sequence; });
  return count;
}

}  // namespace switchyard::parallel
