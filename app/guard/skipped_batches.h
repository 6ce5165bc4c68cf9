// Which batches a run leaves out. The batch of a step follows from the step and this list alone, so it is
// part of the data position in a checkpoint and the same on any layout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard::app {

class SkippedBatches {
 public:
  /// Batches [begin, end), counted from 0 over the run's data order. Joins ranges that touch.
  void add(std::int64_t begin, std::int64_t end);
  /// The batch that step number `step` (from 0) takes: the step-th of those not skipped.
  std::int64_t batch_of(std::int64_t step) const;
  std::int64_t count() const;
  /// The step (from 0) that takes the first batch after the last range: where the run was taken back to last.
  /// 0 without ranges.
  std::int64_t last_step() const;
  bool is_empty() const { return ranges_.empty(); }

  /// "5-7,12-12": first and last of each range.
  std::string text() const;
  /// Throws CheckpointError unless text() made it.
  static SkippedBatches parse(std::string_view text);
  bool operator==(const SkippedBatches&) const = default;

 private:
  struct Range {
    std::int64_t begin = 0, end = 0;
    bool operator==(const Range&) const = default;
  };
  std::vector<Range> ranges_;  // rising, neither empty nor touching
};

}  // namespace switchyard::app
