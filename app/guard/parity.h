// Memory that lies: weights that differ between ranks which must hold the same, or that changed while nobody
// wrote them.
//
// Two looks, both before an update. What this rank remembers of its own state from the end of the step before
// must be there still: any flip in weights, moments or biases between two updates shows, on any number of
// ranks, and the rank at fault is the one it shows on. Then the digests of the weights are compared between
// the ranks that hold the same ones: what a broken exchange delivered shows there. A majority of three or
// more names the odd rank; of two, the owner of the shard (ZeRO-1), from which the weights came, is right.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/storage/digest.h"
#include "moe/model/model.h"
#include "moe/optim/optimizer.h"
#include "parallel/communicators/communicator.h"

namespace switchyard::app {

class Parity {
 public:
  /// All must outlive it.
  Parity(parallel::Communicator& world, moe::Model& model, moe::Optimizer& optimizer)
      : world_(world), model_(model), optimizer_(optimizer) {}

  /// Digests this rank's state as it is now. Nothing may write it until check().
  void remember();
  /// Throws DeviceError on all ranks alike, naming rank, host, tensor and elements, unless all is as it must
  /// be. `last_clean_step`: for the message, which checkpoints are beyond doubt. Collective over the world.
  void check(std::int64_t step, std::int64_t last_clean_step);

 private:
  std::string changed_here() const;
  std::string odd_here(moe::ParameterGroup& group) const;
  std::string odd_bias_here() const;

  parallel::Communicator& world_;
  moe::Model& model_;
  moe::Optimizer& optimizer_;
  std::vector<data::Digest> remembered_;  // of resting_state(); empty: nothing is remembered
};

}  // namespace switchyard::app
