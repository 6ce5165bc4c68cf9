// Flight records: the last events of a rank as a file, written when a run fails.
//
// flight/<start of the run>/rank-N.json: {"switchyard_flight": 1, "rank", "ranks", "host", "process", "why",
// "written_unix_ns", "written_ns", "fields": [...], "events": [[...], ...]}, oldest event first; times in
// nanoseconds of the host's monotonic clock, as written_ns is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/watchdog/record/events.h"

namespace switchyard::app {

/// Writes records of one folder. The folder's name is fixed beforehand, so that writing allocates nothing and
/// may be done by a signal handler.
class FlightWriter {
 public:
  /// Makes no folder yet; a path beyond 3,000 bytes is refused with UserError.
  FlightWriter(const std::filesystem::path& folder, std::int64_t ranks);
  struct Who {
    std::int64_t rank = 0;
    std::string_view host;
    std::int64_t process = 0;
  };
  /// Whole or not at all: written beside and renamed. False if the disk refused.
  bool write(const Who& who, std::span<const parallel::Event> events, std::string_view why) const noexcept;
  const std::string& folder() const { return folder_; }

 private:
  std::string parent_;
  std::string folder_;
  std::int64_t ranks_;
};

/// A record as read back.
struct FlightRecord {
  std::int64_t rank = 0, ranks = 0, process = 0;
  std::string host, why;
  std::int64_t written_ns = 0;
  std::vector<parallel::Event> events;
};

/// Throws DataError naming the file unless it is a flight record.
FlightRecord read_flight(const std::filesystem::path& file);
/// The last of the folders in a run's flight folder; the folder itself if it has none.
std::filesystem::path newest_flight(const std::filesystem::path& folder);
/// All records of a folder, by rank. Throws DataError; UserError if there is none.
std::vector<FlightRecord> read_flights(const std::filesystem::path& folder);

}  // namespace switchyard::app
