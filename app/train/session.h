// Everything a training rank holds: built from a configuration, in the order in which things can go wrong for
// a user.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/config/config.h"
#include "app/train/rank_device.h"
#include "app/train/run_state.h"
#include "data/tokens/batch_loader.h"
#include "data/tokens/token_dataset.h"
#include "kernels/runtime/context.h"
#include "moe/model/model.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/communicator.h"
#include "parallel/mesh/mesh.h"

namespace switchyard::app {

/// Sequences, units and rows of a step.
struct StepShape {
  std::int64_t B = 0, T = 0;           ///< of a unit
  std::int64_t units = 0;              ///< U, per step over all ranks
  std::vector<std::int64_t> my_units;  ///< unit of each micro step of this rank; -1 where it has none
  std::int64_t tokens() const { return units * B * T; }
};
StepShape step_shape(const Config& config, int rank, int ranks);

/// Opens one split. For a rank's own thread only.
class Session {
 public:
  /// `ranks` must outlive this; `place` shares out the host's cores and GPUs. Throws UserError, DataError,
  /// DeviceError, and what opening the exchange between GPUs throws. Collective.
  Session(Config config, parallel::Communicator& ranks, const parallel::HostPlace& place);

  /// As given, with the vocabulary size of the data.
  const Config& config() const { return config_; }
  /// All ranks; on GPUs with buffers in their memory.
  parallel::Communicator& world() { return world_; }
  /// How device memory crosses ranks.
  const parallel::ChosenRoute& route() const { return device_world_.route; }
  kernels::Context& context() { return context_; }
  moe::Model& model() { return *model_; }
  moe::Optimizer& optimizer() { return *optimizer_; }
  const StepShape& shape() const { return shape_; }
  const data::TokenDataset& train_data() const { return *train_data_; }
  const data::TokenDataset* validation_data() const { return validation_data_.get(); }
  std::string data_digest() const { return train_data_->digest().text(); }
  /// Reads ahead from `first_step` on.
  std::unique_ptr<data::BatchLoader> loader(std::int64_t first_step) const;

 private:
  Config config_;
  parallel::Communicator& ranks_;
  kernels::Context context_;
  parallel::DeviceWorld device_world_;
  parallel::Communicator& world_;
  std::unique_ptr<data::TokenDataset> train_data_;
  std::unique_ptr<data::TokenDataset> validation_data_;
  StepShape shape_;
  std::unique_ptr<parallel::Mesh> mesh_;
  std::unique_ptr<moe::Model> model_;
  std::unique_ptr<moe::Optimizer> optimizer_;
};

}  // namespace switchyard::app
