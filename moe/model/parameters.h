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

/// What a parameter is for: decides weight decay and initialisation.
enum class Role : std::uint8_t { embedding, head, matrix, residual_matrix, router, norm, bias };

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

/// The part of a parameter that this rank computes with.
struct Parameter {
  ParameterSpec spec;
  std::int64_t global_begin = 0;  ///< first element of this part in the flattened global tensor
  TensorView weight;              ///< f32, local shape
  kernels::GradientSum gradient;  ///< local shape

  std::int64_t elements() const { return weight.elements(); }
};

/// Parameters that are summed over the same ranks, in one flat memory laid out by a ShardLayout: the dense
/// ones (over all ranks) or this rank's experts (over the ranks that hold the same experts).
class ParameterGroup {
 public:
  /// `ranks`: those who hold the same parameters; must outlive this. Experts: run `expert_rank` of
  /// `expert_ranks`. `additions`: greatest number of gradient blocks that one step adds to an element.
  ParameterGroup(const std::vector<ParameterSpec>& specs, bool experts, std::int64_t expert_rank,
                 std::int64_t expert_ranks, parallel::Communicator& ranks, std::int64_t additions);

  std::vector<Parameter>& parameters() { return parameters_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  parallel::Communicator& ranks() { return ranks_; }
  parallel::ExactSums& sums() { return *sums_; }
  const parallel::ShardLayout& layout() const { return sums_->layout(); }
  /// f32 (layout().flat_size())
  TensorView weights() const { return weights_; }

  /// Throws InternalError for a name this group does not hold.
  Parameter& find(const std::string& name);
  bool holds(const std::string& name) const;
  /// Indices [first, last) of the parameters whose names begin with `prefix`; they lie one after the other.
  std::pair<std::int64_t, std::int64_t> range(std::string_view prefix) const;

 private:
  std::vector<Parameter> parameters_;
  parallel::Communicator& ranks_;
  std::unique_ptr<parallel::ExactSums> sums_;
  kernels::Tensor weights_;
};

/// Sets every weight of the group: each element a function of (seed, parameter name, global index).
void initialize(kernels::Context& context, ParameterGroup& group, const ModelConfig& config,
                std::uint64_t seed);

}  // namespace switchyard::moe
