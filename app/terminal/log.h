// Set-up of the program's log. Logs go to stderr (and, once a run folder exists, to its log.txt); results go
// to stdout by other means.
#pragma once

#include <spdlog/formatter.h>
#include <spdlog/sinks/sink.h>

#include <filesystem>
#include <memory>
#include <string>

namespace switchyard::app {

enum class LogFormat { text, json };

struct LogOptions {
  LogFormat format = LogFormat::text;
  std::string level = "info";  ///< debug, info, warn, error
  int rank = 0;                ///< of this process
  int ranks = 1;               ///< with more than one, every line names its rank
};

/// Makes the default spdlog logger write to stderr as `options` say. Ranks other than 0 write warnings and
/// errors only (unless the level is debug). Throws UserError for an unknown level.
void set_up_log(const LogOptions& options);

/// Adds `file` (appended to, created if missing) as a second place of the default logger, without colours.
/// Throws DiskError if it cannot be opened.
void add_log_file(const std::filesystem::path& file, const LogOptions& options);

/// The formatter for one place. JSON: one object per line with "time" (UTC, ISO 8601), "level", "rank" and
/// "message"; invalid UTF-8 is replaced.
std::unique_ptr<spdlog::formatter> log_formatter(const LogOptions& options);

}  // namespace switchyard::app
