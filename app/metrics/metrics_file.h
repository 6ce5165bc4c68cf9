// metrics.jsonl: one JSON object per line, the one source of truth of a run. Numbers are printed so that they
// read back to the same bits.
#pragma once

#include <filesystem>
#include <string>

#include "app/metrics/step_record.h"

namespace switchyard::app {

class MetricsFile {
 public:
  static constexpr std::size_t kMostWaitingBytes = std::size_t{64} << 20;

  /// Opens for appending. Lines of steps after `resumed_step` are taken out first: they were not part of the
  /// history that goes on. A last line that a crash cut is taken out too. Throws DiskError.
  /// Lines that a full disk does not take wait in memory (at most kMostWaitingBytes) and follow once there is
  /// space: no training ends for want of a metrics line.
  MetricsFile(std::filesystem::path file, std::int64_t resumed_step, bool per_expert);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;
  void write(const StepRecord& record);
  /// The last step with an evaluation in the history that was kept; -1 if it has none.
  std::int64_t last_evaluated_step() const { return last_evaluated_step_; }
  void write(const EvaluationRecord& record);
  void write(const RollbackRecord& record);

 private:
  std::string kept_history(std::int64_t resumed_step);
  void append(const std::string& line);
  bool write_waiting();

  std::filesystem::path path_;
  int file_ = -1;
  std::string waiting_;
  bool per_expert_;
  std::int64_t last_evaluated_step_ = -1;
};

}  // namespace switchyard::app
