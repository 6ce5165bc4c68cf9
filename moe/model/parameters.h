// The parameters of a model: what there is, who holds which part, and the flat memory behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/ops/gradient_sum.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/context.h"
#include "moe/model/config.h"
#include "parallel/sums/exact_sums.h"

namespace switchyard::moe {

/// What a parameter is for: decides weight decay, initialisation and dtype.
enum class Role : std::uint8_t { embedding, head, matrix, residual_matrix, router, gate, norm, bias };

/// One global tensor, the same on every layout.
struct ParameterSpec {
  std::string name;                 ///< for example layers.3.moe.experts.down.weight
  std::vector<std::int64_t> shape;  ///< global
  Role role = Role::matrix;
  bool is_expert = false;  ///< dim 0 counts experts and is split over the expert axis
};

/// All parameters in checkpoint order.
std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);

/// Decay is for matrices (experts and router included), not for norms, biases or the embedding.
bool has_weight_decay(Role role);

/// What a rank computes with: `activation` for embedding, head and matrices; f32 for the others.
DType weight_dtype(Role role, DType activation);

/// The part of a parameter that this rank computes with.
struct Parameter {
  ParameterSpec spec;
  std::int64_t global_begin = 0;  ///< first element of this part in the flattened global tensor
  TensorView weight;              ///< weight_dtype, local shape
  kernels::GradientSum gradient;  ///< local shape

  std::int64_t elements() const { return weight.elements(); }
};

/// Parameters that are summed over the same ranks, in one flat memory in the order of a ShardLayout: the
/// dense ones (over all ranks) or this rank's experts (over the ranks that hold the same experts).
///
/// Optimizers work on f32 masters. Where all weights are f32 these are the masters. With bf16 weights every
/// rank keeps masters of its own shard alone, and the weights of all are the masters rounded.
class ParameterGroup {
 public:
  /// All memory is on the context's device; the context must outlive this.
  /// `ranks`: those who hold the same parameters; must outlive this. Experts: run `expert_rank` of
  /// `expert_ranks`. `additions`: greatest number of gradient blocks that one step adds to an element.
  ParameterGroup(const std::vector<ParameterSpec>& specs, bool experts, std::int64_t expert_rank,
                 std::int64_t expert_ranks, parallel::Communicator& ranks, std::int64_t additions,
                 DType activation, kernels::Context& context);

  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  parallel::Communicator& ranks() { return ranks_; }
  parallel::ExactSums& sums() { return *sums_; }
  const parallel::ShardLayout& layout() const { return sums_->layout(); }
  /// The memory of all weights, u8: tensor after tensor, each shard one run of bytes.
  TensorView weights() const { return weights_; }
  /// Elements [piece.begin, piece.end) of a parameter's weight.
  TensorView weight(const parallel::ShardPiece& piece) const;

  /// Whether masters are kept apart from the weights.
  bool has_masters() const { return has_masters_; }
  /// f32 (piece.elements()), of a piece of this rank's shard; without masters apart, the weights themselves.
  TensorView master(const parallel::ShardPiece& piece) const;
  /// The weights of every rank's shard to all. Collective over ranks().
  void gather_weights();
  /// Weights from masters, on all ranks: for masters that came from elsewhere. Collective over ranks() where
  /// masters are kept apart; else nothing is done.
  void round_masters(kernels::Context& context);

  /// Throws InternalError for a name this group does not hold.
  Parameter& find(const std::string& name);
  bool holds(const std::string& name) const;
  /// Indices [first, last) of the parameters whose names begin with `prefix`; they lie one after the other.
  std::pair<std::int64_t, std::int64_t> range(std::string_view prefix) const;

 private:
  std::vector<Parameter> parameters_;
  parallel::Communicator& ranks_;
  std::unique_ptr<parallel::ExactSums> sums_;
  std::int64_t weight_offset(std::int64_t flat) const;

  std::vector<std::int64_t> offsets_;  // bytes of weights_ before each tensor, and the end
  kernels::Tensor weights_;
  bool has_masters_ = false;
  kernels::Tensor masters_;  // this rank's shard
};

/// Sets every weight of the group, and its masters: each element a function of (seed, parameter name, global
/// index), rounded to the weight's dtype.
void initialize(kernels::Context& context, ParameterGroup& group, const ModelConfig& config,
                std::uint64_t seed);

}  // namespace switchyard::moe
