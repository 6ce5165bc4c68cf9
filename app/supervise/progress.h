// What a run has to show for its time, read from its folder: the store says which step is safe, the metrics
// how long the steps took.
#pragma once

#include <cstdint>
#include <filesystem>

#include "app/train/run_folder.h"

namespace switchyard::app {

/// The newest step in the run's checkpoint folder whose manifest and sizes are right; -1 if there is none, or
/// the folder cannot be read. Digests are left to the run that resumes.
std::int64_t newest_committed_step(const RunFolder& folder);

/// Seconds that steps `after` < step <= `last` took by metrics.jsonl, skipped steps left out: the time that
/// is still worth something. 0 without the file.
double kept_seconds(const std::filesystem::path& metrics, std::int64_t after, std::int64_t last);

}  // namespace switchyard::app
