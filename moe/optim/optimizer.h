// The end of a step: gradients cross the ranks as exact sums, all ranks agree whether they are finite, the
// owner of each shard updates weights and moments, and the weights go back to everybody (ZeRO-1, Rajbhandari
// et al., 2020).
#pragma once

#include <limits>
#include <vector>

#include "kernels/ops/adamw.h"
#include "moe/model/model.h"
#include "moe/model/state.h"
#include "moe/optim/config.h"
#include "parallel/mesh/mesh.h"

namespace switchyard::moe {

struct UpdateReport {
  bool applied = false;      ///< false: something was not finite, nothing changed on any rank
  bool spiked = false;       ///< finite, but above the bound that was given; not applied
  double gradient_norm = 0;  ///< of the mean gradient over all parameters, before clipping; NaN if not finite
  double clip_factor = 1;
};

class Optimizer {
 public:
  /// `units_per_step`: over how many units the sums are averaged. The model and the mesh must outlive it.
  Optimizer(Model& model, parallel::Mesh& mesh, const OptimizerConfig& config, std::int64_t units_per_step);

  /// Uses up the model's gradient sums. `finite` is what this rank knows of its losses. A norm above
  /// `norm_bound` (the same on all ranks) is a spike: nothing is changed. Collective over the world.
  UpdateReport step(kernels::Context& context, double learning_rate, bool finite,
                    double norm_bound = std::numeric_limits<double>::infinity());
  /// Moves the selection biases by the loads of the step (one per MoE layer), the same on every rank.
  void balance(const std::vector<std::vector<std::int64_t>>& loads);

  /// Updates applied so far: the exponent of AdamW's bias corrections.
  std::int64_t updates() const { return updates_; }
  void set_updates(std::int64_t updates) { updates_ = updates; }

  /// What this rank writes into a checkpoint: its shards of masters (f32 weights) and moments; rank 0 also
  /// the selection biases. Over all ranks each element of each tensor occurs once.
  std::vector<StateSlice> owned_state();
  /// The exact gradient sums of the last step (i64), this rank's shards: valid after step() until the next
  /// gradient.
  std::vector<StateSlice> gradient_sums();
  /// What this rank must read to go on: model_state() and its shards of the moments. Model::use_state() comes
  /// after it.
  std::vector<StateSlice> needed_state();
  /// All memory of this rank that changes in updates only: needed_state(), and bf16 weights.
  std::vector<StateSlice> resting_state();

 private:
  // One per ParameterGroup that holds anything.
  struct Shard {
    ParameterGroup& group;
    std::vector<parallel::ShardPiece> pieces;  // what this rank owns
    kernels::Tensor m;                         // (shard elements)
    kernels::Tensor v;
  };
  static Shard make_shard(ParameterGroup& group);
  static std::int64_t shard_begin(const Shard& shard);
  void add_squares(kernels::Context& context, Shard& shard, kernels::WideSum& total, bool& finite) const;
  static void update(kernels::Context& context, Shard& shard, const kernels::AdamwScalars& scalars);
  static void append_moments(Shard& shard, std::vector<StateSlice>& slices);

  Model& model_;
  parallel::Communicator& world_;
  OptimizerConfig config_;
  std::int64_t units_per_step_;
  std::int64_t updates_ = 0;
  std::vector<Shard> shards_;
};

/// What a rank must read to compute with a model: its weights as f32, or where masters are kept apart those
/// of its shard; and the selection biases. Model::use_state() comes after it.
std::vector<StateSlice> model_state(Model& model);

}  // namespace switchyard::moe
