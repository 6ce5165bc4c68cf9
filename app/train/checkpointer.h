// Checkpoints of a run over all ranks: data/checkpoint holds the protocol of one folder, this agrees on it.
//
// A save blocks the step only while this rank's shards are copied; a thread writes the part file; at a later
// step, when every rank is done, rank 0 commits. A save that fails on any rank is abandoned on all, reported
// once, and tried again at the next interval: the checkpoints that exist stay as they are.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/config/config.h"
#include "data/checkpoint/format/part.h"
#include "data/checkpoint/keep/run_lock.h"
#include "data/checkpoint/save/background_saver.h"
#include "data/io/io.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/context.h"
#include "moe/model/state.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::app {

class Checkpointer {
 public:
  /// Takes the folder for this run (rank 0 holds its lock) and clears what dead runs left in it. Collective.
  /// Throws UserError when a live run has the folder, DiskError.
  Checkpointer(parallel::Communicator& world, data::Io& io, std::filesystem::path folder, std::string run,
               const CheckpointConfig& config, data::RunLockOptions lock = {});
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  /// Deletes every checkpoint of the folder. Collective.
  void discard_all();
  /// The newest checkpoint that verifies; each one passed over is logged with its reason. Empty if the folder
  /// has never had one. Throws CheckpointError if there are some and none verifies: starting over in silence
  /// would bury what can still be saved. Collective.
  std::optional<std::filesystem::path> newest();
  /// The newest of a step up to `step` that verifies, after deleting those of later steps: they belong to a
  /// history that is given up. Throws CheckpointError if there is none, before anything is deleted.
  /// Collective, with no save under way.
  std::filesystem::path rewind_to(std::int64_t step);

  /// Takes the memory that saves in the background copy `slices` to, so that the first one does not hold a
  /// step up until the system has given and cleared it.
  void reserve(const std::vector<moe::StateSlice>& slices);
  /// Starts saving `slices` as of `step`; a save under way is finished first. Without checkpoint.background
  /// the part is written before this returns, straight from the slices where they are in host memory.
  /// Collective.
  void start(kernels::Context& context, std::int64_t step, const std::vector<moe::StateSlice>& slices,
             const data::State& state, const std::vector<std::string>& continuation,
             const std::string& config_digest);
  /// Whether this rank's part of the save under way is still being written.
  bool is_busy() const;
  /// Whether a save was started and neither committed nor abandoned; the same on all ranks.
  bool is_pending() const { return pending_.has_value(); }
  /// Commits or abandons the save under way; waits for it. Returns whether it was committed. Collective, only
  /// while is_pending().
  bool finish();

  /// The step of the last commit, and how long this rank's part of the last save took.
  std::int64_t last_committed_step() const { return last_committed_step_; }
  /// Tells of a checkpoint that exists already: the one resumed from.
  void set_committed_step(std::int64_t step) { last_committed_step_ = step; }
  double last_save_seconds() const { return last_save_seconds_; }
  /// How long start() and finish() of the last save held this rank up.
  double last_blocked_seconds() const { return blocked_seconds_; }
  /// Why the last save failed; empty after a commit.
  const std::string& last_failure() const { return last_failure_; }

 private:
  struct Pending {
    std::int64_t step = 0;
    std::filesystem::path attempt;
    data::State state;
    std::vector<std::string> continuation;
    std::string config_digest;
    std::vector<data::TensorSlice> slices;
    std::optional<data::PartRecord> record;  // of this rank, once written
    std::string failure;                     // of writing it without a thread
  };
  bool begin(Pending& pending);
  void write_in_background();
  void write_now();
  bool conclude();
  bool commit(Pending& pending);
  void note_failure(const std::string& cause, std::int64_t step);

  parallel::Communicator& world_;
  data::Io& io_;
  std::filesystem::path folder_;
  std::string run_;
  CheckpointConfig config_;
  std::unique_ptr<data::RunLock> lock_;  // rank 0
  std::optional<Pending> pending_;
  /// Memory of the last snapshot, kept for the next: fresh pages cost more than the copy itself.
  std::vector<kernels::Buffer> snapshot_;
  std::set<std::int64_t>
      verified_steps_;  // rank 0: written or digested by this process, so not to be read again
  std::int64_t last_committed_step_ = -1;
  double last_save_seconds_ = 0;
  double blocked_seconds_ = 0;
  std::string last_failure_;
  data::BackgroundSaver saver_;  // last: its thread uses pending_
};

}  // namespace switchyard::app
