// Spikes: steps whose loss or gradient norm is far above those before are skipped; too many in a row roll the
// run back. Decided from numbers that all ranks share, so all decide alike, on any layout, stopped and
// resumed or not.
#pragma once

#include <cstdint>

#include "app/guard/config.h"
#include "app/guard/spike_window.h"
#include "app/train/run_state.h"

namespace switchyard::app {

/// A way back: to the end of `step`, leaving out the batches [first_batch, last_batch].
struct Rollback {
  std::int64_t step = 0;
  std::int64_t first_batch = 0, last_batch = 0;
};

class Guard {
 public:
  explicit Guard(const GuardConfig& config);

  /// The norm above which the optimizer must not apply the step: minus infinity where the loss is a spike
  /// already, infinity without a policy or a full window.
  double norm_bound(double loss) const;
  /// Takes in an applied step.
  void accept(double loss, double norm);
  /// What must be done now that state.skipped_in_a_row steps in a row were skipped. The target is a function
  /// of the steps' numbers, never of which checkpoints exist: the rest of the way to it is trained again, to
  /// the same bits.
  bool must_roll_back(const RunState& state) const;
  Rollback rollback(const RunState& state) const;
  /// Counts rollbacks that did not get the run past where it was. Throws NumericsError after kMostRollbacks
  /// of them.
  void note_rollback(std::int64_t from_step);
  static constexpr int kMostRollbacks = 5;

  /// The windows, to and from a checkpoint. Nothing is stored without a policy.
  void store(RunState& state) const;
  void restore(const RunState& state);

 private:
  GuardConfig config_;
  SpikeWindow losses_;
  SpikeWindow norms_;
  std::int64_t rolled_back_from_ = -1;
  int rollbacks_ = 0;  // since the run last got past rolled_back_from_
};

}  // namespace switchyard::app
