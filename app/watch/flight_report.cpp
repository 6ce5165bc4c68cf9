#include "app/watch/flight_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>

#include "app/terminal/format.h"

namespace switchyard::app {

namespace {

using parallel::Event;
using parallel::EventKind;

// More columns than this do not fit a line.
constexpr std::size_t kColumns = 4;
constexpr std::size_t kColumnWidth = 34;

const Event* last_of(const FlightRecord& record) {
  return record.events.empty() ? nullptr : &record.events.back();
}

auto progress_of(const Event& event) {
  return std::tuple(event.place.step, event.place.phase, event.place.unit, event.call);
}

std::string cell(const Event& event) {
  const std::string call =
      fmt::format("{} #{} {}", parallel::collective_name(event.collective), event.call, event.group_name());
  switch (event.kind) {
    case EventKind::place:
      return event.where().substr(event.where().find(", ") + 2);  // the step stands before it already
    case EventKind::entered:
      return "> " + call;
    case EventKind::started:
      return "started " + call;
    case EventKind::waits:
      return "waits " + call;
    case EventKind::left:
      return "< " + call;
    case EventKind::closing:
      break;
  }
  return "waits for all to close";
}

std::string summary(const FlightRecord& record) {
  const Event* last = last_of(record);
  std::string text =
      fmt::format("  rank {:<4} {} (process {})\n", record.rank, printable(record.host), record.process);
  text += fmt::format("    recorded because: {}\n", printable(record.why, 300));
  if (last == nullptr) return text + "    no event\n";
  text += fmt::format("    last event {} ago: {}{}\n",
                      format_duration(static_cast<double>(record.written_ns - last->time_ns) * 1e-9),
                      last->where(), last->is_waiting() ? ", " + last->what() : "");
  return text;
}

std::string columns(std::span<const FlightRecord> records, std::size_t events) {
  std::string text =
      fmt::format("\n  last {} events, the newest at the bottom (step, then what; > in, < out)\n ", events);
  for (const FlightRecord& record : records)
    text += fmt::format(" {:<{}}", fmt::format("rank {}", record.rank), kColumnWidth);
  text += "\n";
  std::size_t most = 0;
  for (const FlightRecord& record : records) most = std::max(most, record.events.size());
  const std::size_t rows = std::min(events, most);
  for (std::size_t row = 0; row < rows; ++row) {
    text += " ";
    for (const FlightRecord& record : records) {
      const std::size_t from_end = rows - row;
      std::string shown;
      if (from_end <= record.events.size()) {
        const Event& event = record.events[record.events.size() - from_end];
        shown = fmt::format("{} {}", event.place.step, cell(event)).substr(0, kColumnWidth);
      }
      text += fmt::format(" {:<{}}", shown, kColumnWidth);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += "\n";
  }
  return text;
}

}  // namespace

std::vector<std::int64_t> ranks_behind(std::span<const FlightRecord> records) {
  std::vector<std::int64_t> moving, behind;
  const Event* least = nullptr;
  const Event* most = nullptr;
  for (const FlightRecord& record : records) {
    const Event* last = last_of(record);
    if (last == nullptr || !last->is_waiting()) moving.push_back(record.rank);
    if (last == nullptr) continue;
    if (least == nullptr || progress_of(*last) < progress_of(*least)) least = last;
    if (most == nullptr || progress_of(*most) < progress_of(*last)) most = last;
  }
  if (!moving.empty() && moving.size() < records.size()) return moving;
  if (least == nullptr || progress_of(*least) == progress_of(*most)) return {};
  for (const FlightRecord& record : records)
    if (last_of(record) == nullptr || progress_of(*last_of(record)) == progress_of(*least))
      behind.push_back(record.rank);
  return behind;
}

std::string flight_report(std::span<const FlightRecord> records, std::size_t events) {
  std::string text = fmt::format("flight records of {} of {} ranks\n", records.size(), records.front().ranks);
  for (const FlightRecord& record : records) text += summary(record);
  const std::vector<std::int64_t> behind = ranks_behind(records);
  text +=
      behind.empty() ? "  nobody was behind\n" : fmt::format("  behind: rank {}\n", fmt::join(behind, ", "));
  for (std::size_t first = 0; first < records.size(); first += kColumns)
    text += columns(records.subspan(first, std::min(kColumns, records.size() - first)), events);
  return text;
}

}  // namespace switchyard::app
