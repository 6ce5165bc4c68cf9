// Which rank is slow: its own work of a step against the median of the others', waiting left out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "parallel/watchdog/record/board.h"

namespace switchyard::parallel {

struct SlowRank {
  std::int64_t rank = 0;
  double ratio = 0;  ///< its time over the median of the others
  std::int64_t first_step = 0, last_step = 0;
};

/// Steps are judged in windows: at least `steps` steps and two seconds of work. Two windows in a row name a
/// rank, so one disturbance names nobody; a rank is named again only after it has been well in between.
class SlowFinder {
 public:
  /// ratio <= 1 finds nobody.
  SlowFinder(std::int64_t ranks, double ratio, std::int64_t steps);
  /// Takes up the steps that all ranks have published since the last call.
  std::optional<SlowRank> look(const Board& board);
  /// One step of all ranks: seconds of each.
  std::optional<SlowRank> add(std::int64_t step, const std::vector<double>& seconds);

 private:
  std::optional<SlowRank> close_window(std::int64_t step);

  double ratio_;
  std::int64_t steps_;
  std::vector<double> totals_;
  std::int64_t count_ = 0;
  std::int64_t window_begin_ = 0;
  std::int64_t previous_begin_ = 0;
  std::int64_t next_ = 1;
  std::vector<int> in_a_row_;
};

}  // namespace switchyard::parallel
