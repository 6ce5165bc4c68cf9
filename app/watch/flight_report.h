// Flight records for a reader: who was behind, and the last events of the ranks side by side.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "app/watch/flight_file.h"

namespace switchyard::app {

/// The ranks that kept the others waiting: those whose last event is not a wait while others' are; if all
/// wait, those furthest behind, or nobody if none is. Records must not be empty.
std::vector<std::int64_t> ranks_behind(std::span<const FlightRecord> records);

/// At most `events` last events of each rank.
std::string flight_report(std::span<const FlightRecord> records, std::size_t events);

}  // namespace switchyard::app
