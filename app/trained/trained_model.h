// A trained model on one rank, from a run folder or a checkpoint folder: for generating, evaluating,
// exporting.
#pragma once

#include <filesystem>
#include <memory>

#include "app/config/config.h"
#include "app/train/run_state.h"
#include "data/io/real_io.h"
#include "data/text/tokenizer.h"
#include "kernels/runtime/context.h"
#include "moe/model/model.h"
#include "parallel/communicators/communicator.h"
#include "parallel/mesh/mesh.h"

namespace switchyard::app {

/// Whether a folder with a manifest.json is one that `prepare` made; checkpoints have a manifest of the same
/// name.
bool is_prepared_folder(const std::filesystem::path& folder);

/// The checkpoint that `path` means: itself, or the newest whole one of a run folder (what was passed over is
/// logged). Throws CheckpointError where there is none or it does not verify, UserError for a path that is
/// neither.
std::filesystem::path resolve_checkpoint(data::Io& io, const std::filesystem::path& path);

class TrainedModel {
 public:
  /// `threads` 0 = all cores. `max_positions` 0 = as trained.
  TrainedModel(const std::filesystem::path& path, int threads, std::int64_t max_positions = 0);

  const Config& config() const { return config_; }
  const RunState& state() const { return state_; }
  const std::filesystem::path& checkpoint() const { return checkpoint_; }
  const data::Tokenizer& tokenizer() const { return *tokenizer_; }
  kernels::Context& context() { return context_; }
  moe::Model& model() { return *model_; }
  parallel::Communicator& world() { return *world_; }

 private:
  data::RealIo io_;
  std::filesystem::path checkpoint_;
  data::Manifest manifest_;
  RunState state_;
  Config config_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
  kernels::Context context_;
  std::unique_ptr<parallel::Communicator> world_;
  std::unique_ptr<parallel::Mesh> mesh_;
  std::unique_ptr<moe::Model> model_;
};

}  // namespace switchyard::app
