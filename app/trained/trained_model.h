// A trained model on one rank, from a run folder or a checkpoint folder: for generating, evaluating,
// exporting.
#pragma once

#include <filesystem>
#include <memory>

#include "app/config/config.h"
#include "app/train/find_checkpoint.h"
#include "app/train/run_state.h"
#include "data/io/real_io.h"
#include "data/text/tokenizer.h"
#include "kernels/runtime/context.h"
#include "moe/model/model.h"
#include "parallel/communicators/communicator.h"
#include "parallel/mesh/mesh.h"

namespace switchyard::app {

/// What a checkpoint says beside its tensors.
struct StoredModel {
  std::filesystem::path checkpoint;
  RunState state;
  Config config;
  std::unique_ptr<data::Tokenizer> tokenizer;
  bool has_tokenizer = true;  ///< false: imported without one, and `tokenizer` is that of bytes
  bool is_imported = false;   ///< its weights, or those it started from, came from another program or run
};
/// `path` as resolve_checkpoint takes it. Throws what that throws, and CheckpointError or DataError where the
/// state cannot be read.
StoredModel read_stored_model(data::Io& io, const std::filesystem::path& path);

class TrainedModel {
 public:
  /// `threads` 0 = all cores; `device` need not be the one it was trained on. `max_positions` 0 = as trained.
  /// Throws DeviceError where there is no such device, beside what read_stored_model throws.
  TrainedModel(const std::filesystem::path& path, int threads, DeviceChoice device = DeviceChoice::cpu,
               std::int64_t max_positions = 0);

  const Config& config() const { return stored_.config; }
  const RunState& state() const { return stored_.state; }
  const std::filesystem::path& checkpoint() const { return stored_.checkpoint; }
  const data::Tokenizer& tokenizer() const { return *stored_.tokenizer; }
  kernels::Context& context() { return context_; }
  moe::Model& model() { return *model_; }
  parallel::Communicator& world() { return *world_; }

 private:
  data::RealIo io_;
  StoredModel stored_;
  kernels::Context context_;
  std::unique_ptr<parallel::Communicator> world_;
  std::unique_ptr<parallel::Mesh> mesh_;
  std::unique_ptr<moe::Model> model_;
};

}  // namespace switchyard::app
