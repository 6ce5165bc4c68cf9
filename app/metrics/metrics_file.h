// metrics.jsonl: one JSON object per line, the one source of truth of a run. Numbers are printed so that they
// read back to the same bits.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "app/metrics/step_record.h"

namespace switchyard::app {

class MetricsFile {
 public:
  /// Opens for appending. Lines of steps after `resumed_step` are taken out first: they were not part of the
  /// history that goes on. A last line that a crash cut is taken out too. Throws DiskError.
  MetricsFile(std::filesystem::path file, std::int64_t resumed_step, bool per_expert);
  void write(const StepRecord& record);
  /// The last step with an evaluation in the history that was kept; -1 if it has none.
  std::int64_t last_evaluated_step() const { return last_evaluated_step_; }
  void write(const EvaluationRecord& record);

 private:
  std::string kept_history(std::int64_t resumed_step);
  void append(const std::string& line);

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
  bool per_expert_;
  std::int64_t last_evaluated_step_ = -1;
};

}  // namespace switchyard::app
