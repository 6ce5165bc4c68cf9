// The training loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "app/config/config.h"
#include "app/guard/guard.h"
#include "app/guard/parity.h"
#include "app/metrics/metrics_file.h"
#include "app/metrics/step_record.h"
#include "app/terminal/progress.h"
#include "app/train/checkpointer.h"
#include "app/train/run_folder.h"
#include "app/train/save_schedule.h"
#include "app/train/session.h"
#include "app/train/stop.h"
#include "kernels/runtime/place.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::app {

/// A run whose steps are all skipped learns nothing. A bad batch or a loss spike skips a few.
inline constexpr std::int64_t kMostSkippedSteps = 20;

struct TrainOptions {
  bool fresh = false;  ///< start over: checkpoints and metrics of an earlier run are deleted
  bool quiet = false;  ///< no step lines or progress bar (tests, verify)
  parallel::HostPlace place = {};
  /// Who follows this rank, if anyone; they outlive the run.
  kernels::PlaceObserver* place_observer = nullptr;
  kernels::Probe* probe = nullptr;
  data::Io* io = nullptr;  ///< the disk of checkpoints; nullptr = the real one
};

/// Runs or resumes a training run on this rank. Collective. Returns kExitDone, or kExitResumable when a
/// signal or the time limit stopped it with a checkpoint written. Throws Error; NumericsError once
/// kMostSkippedSteps steps in a row were not finite.
int run_training(const Config& config, parallel::Communicator& world, const TrainOptions& options);

class Trainer {
 public:
  Trainer(Session& session, data::Io& io, const TrainOptions& options);
  int run();

 private:
  enum class Stop : std::int64_t { none, time_limit, signal };

  void resume_or_start();
  void load(const std::filesystem::path& checkpoint);
  void open_metrics();
  void roll_back();
  StepRecord train_step();
  StepRecord describe_step(const moe::StepSummary& summary, const moe::UpdateReport& update,
                           double seconds) const;
  void check_parity();
  void report(const StepRecord& record);
  void evaluate();
  void save();
  void save_if_due();
  void save_and_wait();
  void conclude_save();
  bool checks_parity_at(std::int64_t step) const;
  void stop_if_diverged();
  Stop agreed_stop(double step_seconds);
  int finish();
  /// On one host the cores that would carry early sums are those that compute (parallel/README.md has
  /// figures).
  bool spans_hosts() { return session_.world().size() > options_.place.ranks_on_host; }
  kernels::PlaceTracker& place() { return session_.context().place(); }
  bool is_first_rank() { return session_.world().rank() == 0; }
  std::int64_t steps() const { return session_.config().train.steps; }

  Session& session_;
  data::Io& io_;
  TrainOptions options_;
  RunFolder folder_;
  RunState state_;
  Checkpointer checkpointer_;
  std::unique_ptr<data::BatchLoader> loader_;
  std::unique_ptr<MetricsFile> metrics_;  // rank 0
  std::unique_ptr<Progress> progress_;    // rank 0, on a terminal
  moe::StepTotals totals_;
  Guard guard_;
  Parity parity_;
  std::int64_t last_parity_step_ = 0;
  std::optional<SaveSchedule> schedule_;  // from where the run starts on
  Deadline deadline_;
  double flops_per_token_ = 0;
  double peak_flops_ = 0;  // over all ranks
  double smoothed_step_seconds_ = 0;
  std::int64_t last_evaluated_step_ = -1;
};

}  // namespace switchyard::app
