// The whole decoder: parameters, memory, and the passes over one unit (micro-batch).
#pragma once

#include <memory>
#include <vector>

#include "kernels/runtime/context.h"
#include "moe/layers/block.h"
#include "moe/layers/head.h"
#include "moe/model/config.h"
#include "moe/model/parameters.h"
#include "parallel/exchange/row_exchange.h"
#include "parallel/mesh/mesh.h"

namespace switchyard::moe {

/// Sizes that bound a run; the exact sums and the tables are made for them.
struct ModelLimits {
  std::int64_t units_per_step = 1;  ///< global_batch / micro_batch
  std::int64_t rows_per_unit = 1;   ///< micro_batch * sequence length
  std::int64_t max_positions = 0;   ///< length of the RoPE tables
  std::int64_t exchange_rows = 0;   ///< bound of received expert rows; 0 = none
};

/// One unit: B sequences of T tokens. Targets are the tokens that follow.
struct UnitInput {
  ConstTensorView tokens;   // (B, T) i32, below V
  ConstTensorView targets;  // (B, T) i32; -1 = ignored
};

/// What a unit says of itself. Means are over the unit's rows.
struct UnitResult {
  double loss = 0;                         ///< cross-entropy, nats
  std::vector<RoutingStatistics> routing;  ///< one per MoE layer, in order
};

class Model {
 public:
  /// Allocates and initialises this rank's part on the context's device; the context must outlive it and be
  /// the one of all calls. Throws UserError for a layout that cannot hold the experts.
  Model(kernels::Context& context, const ModelConfig& config, parallel::Mesh& mesh, const ModelLimits& limits,
        std::uint64_t seed);

  /// Forward and backward; adds to the gradient sums. Collective over the expert axis: every rank of the axis
  /// calls it the same number of times, with B = 0 where it has no unit. `last`: no other unit of this step
  /// follows on this rank, so each layer's sums leave for their owners while the layers below it are at work;
  /// say so on all ranks of the world or on none.
  UnitResult train_unit(kernels::Context& context, const UnitInput& input, Recompute recompute,
                        bool last = false);
  /// Forward only.
  UnitResult evaluate_unit(kernels::Context& context, const UnitInput& input);

  const ModelConfig& config() const { return config_; }
  ParameterGroup& dense() { return dense_; }
  ParameterGroup& experts() { return experts_; }
  /// Selection biases (E) f32, one per MoE layer; empty without bias balancing.
  std::vector<TensorView> balancing_biases() const;
  /// Layer numbers of the MoE layers, in order.
  const std::vector<std::int64_t>& moe_layers() const { return moe_layers_; }
  void clear_gradients();
  /// After the memory of model_state() was written: the weights are made of it. Collective over the world in
  /// bf16; with f32 weights there is nothing to do.
  void use_state(kernels::Context& context);
  /// Peak of the activation arena so far.
  std::size_t activation_bytes() const { return activations_.peak_bytes(); }

  /// Whose device holds the model.
  kernels::Context& context() const { return context_; }

  // For decoding (moe/decode): logits of the last of T new tokens (T) i32 of one sequence, into logits (V).
  // Without expert capacity: what a token gets must not depend on which others came in the same call.
  void decode(kernels::Context& context, TensorView logits, ConstTensorView tokens,
              std::vector<KvCache>& cache);

 private:
  LayerContext layer_context(kernels::Context& context, UnitShape unit);
  BlockParameters block_parameters(std::int64_t layer);
  const Parameter* find(const std::string& name);
  TensorView embed(LayerContext& layer, const UnitInput& input);
  TensorView forward_blocks(LayerContext& layer, TensorView x, std::vector<BlockSaved>& saved,
                            UnitResult& result, Recompute recompute);
  void start_sums(std::int64_t layer);

  kernels::Context& context_;
  ModelConfig config_;
  ModelConfig decode_config_;  // without capacity
  ModelLimits limits_;
  ParameterGroup dense_;
  ParameterGroup experts_;
  std::vector<kernels::Tensor> balancing_;
  std::vector<std::int64_t> moe_layers_;
  std::vector<BlockParameters> blocks_;
  HeadParameters head_;
  const Parameter* embedding_ = nullptr;
  kernels::Tensor rope_cosine_;
  kernels::Tensor rope_sine_;
  kernels::Arena activations_;
  kernels::Arena host_activations_;  // LayerContext::host on a device
  std::unique_ptr<parallel::RowExchange> exchange_;
};

}  // namespace switchyard::moe
