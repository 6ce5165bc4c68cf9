#include "app/guard/guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/runtime/error.h"

namespace switchyard::app {

Guard::Guard(const GuardConfig& config)
    : config_(config), losses_(config.spike_window), norms_(config.spike_window) {}

double Guard::norm_bound(double loss) const {
  if (config_.spike_sigma <= 0) return std::numeric_limits<double>::infinity();
  if (loss > losses_.bound(config_.spike_sigma)) return -std::numeric_limits<double>::infinity();
  return norms_.bound(config_.spike_sigma);
}

void Guard::accept(double loss, double norm) {
  if (config_.spike_sigma <= 0) return;
  losses_.add(loss);
  norms_.add(norm);
}

bool Guard::must_roll_back(const RunState& state) const {
  return config_.rollback_after > 0 && state.skipped_in_a_row >= config_.rollback_after;
}

Rollback Guard::rollback(const RunState& state) const {
  const std::int64_t before_first = state.step - state.skipped_in_a_row;
  // Not before the last rollback's own target: what led there has proved good, and checkpoints before it may
  // be gone.
  const std::int64_t target =
      std::max(state.skipped_batches.last_step(), before_first - config_.rollback_steps);
  return {target, state.skipped_batches.batch_of(target), state.skipped_batches.batch_of(state.step - 1)};
}

void Guard::note_rollback(std::int64_t from_step) {
  rollbacks_ = from_step > rolled_back_from_ ? 1 : rollbacks_ + 1;
  rolled_back_from_ = std::max(rolled_back_from_, from_step);
  if (rollbacks_ > kMostRollbacks)
    throw NumericsError(fmt::format(
        "a rollback must get the run past the steps it failed at; {} from step {} or before did not; lower "
        "optimizer.learning_rate, raise guard.spike_sigma, or raise guard.rollback_steps",
        kMostRollbacks, rolled_back_from_));
}

void Guard::store(RunState& state) const {
  state.guard_losses = losses_.text();
  state.guard_norms = norms_.text();
}

void Guard::restore(const RunState& state) {
  if (config_.spike_sigma <= 0) return;
  losses_.set_text(state.guard_losses);
  norms_.set_text(state.guard_norms);
}

}  // namespace switchyard::app
