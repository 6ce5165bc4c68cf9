#include "parallel/watchdog/judge/slow.h"

#include <algorithm>

namespace switchyard::parallel {

namespace {

// Shorter windows would measure the scheduler of an overloaded machine.
constexpr double kLeastSeconds = 2;
constexpr int kWindows = 2;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

SlowFinder::SlowFinder(std::int64_t ranks, double ratio, std::int64_t steps)
    : ratio_(ratio),
      steps_(steps),
      totals_(static_cast<std::size_t>(ranks), 0),
      in_a_row_(static_cast<std::size_t>(ranks), 0) {}

std::optional<SlowRank> SlowFinder::look(const Board& board) {
  if (ratio_ <= 1 || totals_.size() < 2) return std::nullopt;
  // The newest step that all have; older ones may have been overwritten and are then left out.
  std::int64_t newest = 0;
  for (const StepTime& time : board.status(0).steps) newest = std::max(newest, time.step.load());
  const auto kept = static_cast<std::int64_t>(RankStatus::kStepTimes);
  next_ = std::max(next_, newest - kept + 2);
  std::vector<double> seconds(totals_.size());
  for (; next_ <= newest; ++next_) {
    bool is_whole = true;
    for (std::size_t rank = 0; rank < totals_.size(); ++rank) {
      const StepTime& time =
          board.status(static_cast<std::int64_t>(rank)).steps[static_cast<std::size_t>(next_ % kept)];
      const std::int64_t step = time.step.load(std::memory_order_acquire);
      if (step < next_) return std::nullopt;  // not there yet
      is_whole = is_whole && step == next_;   // a rank ahead may have overwritten its entry
      seconds[rank] = static_cast<double>(time.busy_ns.load(std::memory_order_relaxed)) * 1e-9;
    }
    if (!is_whole) continue;
    if (auto slow = add(next_, seconds)) {
      ++next_;
      return slow;
    }
  }
  return std::nullopt;
}

std::optional<SlowRank> SlowFinder::add(std::int64_t step, const std::vector<double>& seconds) {
  if (count_ == 0) window_begin_ = step;
  for (std::size_t rank = 0; rank < totals_.size(); ++rank) totals_[rank] += seconds[rank];
  ++count_;
  if (count_ < steps_ || *std::ranges::max_element(totals_) < kLeastSeconds) return std::nullopt;
  return close_window(step);
}

std::optional<SlowRank> SlowFinder::close_window(std::int64_t step) {
  std::optional<SlowRank> found;
  for (std::size_t rank = 0; rank < totals_.size(); ++rank) {
    std::vector<double> others = totals_;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(rank));
    const double ratio = totals_[rank] / std::max(median(others), 1e-9);
    in_a_row_[rank] = ratio > ratio_ ? in_a_row_[rank] + 1 : 0;
    if (in_a_row_[rank] == kWindows && (!found || ratio > found->ratio))
      found = SlowRank{static_cast<std::int64_t>(rank), ratio, previous_begin_, step};
  }
  previous_begin_ = window_begin_;
  std::ranges::fill(totals_, 0);
  count_ = 0;
  return found;
}

}  // namespace switchyard::parallel
