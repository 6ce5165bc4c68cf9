#include "moe/model/parameters.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/check.h"
#include "kernels/runtime/random.h"

namespace switchyard::moe {

namespace {

void add_attention(std::vector<ParameterSpec>& specs, const ModelConfig& config, const std::string& layer) {
  const std::int64_t C = config.width;
  const std::int64_t queries = config.heads * head_width(config);
  const std::int64_t keys = config.kv_heads * head_width(config);
  specs.push_back({layer + "attention_norm.weight", {C}, Role::norm});
  specs.push_back({layer + "attention.q.weight", {queries, C}, Role::matrix});
  specs.push_back({layer + "attention.k.weight", {keys, C}, Role::matrix});
  specs.push_back({layer + "attention.v.weight", {keys, C}, Role::matrix});
  if (config.attention_bias) {
    specs.push_back({layer + "attention.q.bias", {queries}, Role::bias});
    specs.push_back({layer + "attention.k.bias", {keys}, Role::bias});
    specs.push_back({layer + "attention.v.bias", {keys}, Role::bias});
  }
  if (config.qk_norm != QkNorm::none) {
    const bool per_head = config.qk_norm == QkNorm::per_head;
    specs.push_back(
        {layer + "attention.q_norm.weight", {per_head ? head_width(config) : queries}, Role::norm});
    specs.push_back({layer + "attention.k_norm.weight", {per_head ? head_width(config) : keys}, Role::norm});
  }
  specs.push_back({layer + "attention.output.weight", {C, queries}, Role::residual_matrix});
  if (config.attention_output_bias) specs.push_back({layer + "attention.output.bias", {C}, Role::bias});
}

void add_mlp(std::vector<ParameterSpec>& specs, const std::string& prefix, std::int64_t C, std::int64_t F) {
  specs.push_back({prefix + "gate_up.weight", {2 * F, C}, Role::matrix});
  specs.push_back({prefix + "down.weight", {C, F}, Role::residual_matrix});
}

void add_moe(std::vector<ParameterSpec>& specs, const ModelConfig& config, std::int64_t index,
             const std::string& layer) {
  const std::int64_t C = config.width;
  const std::int64_t E = config.moe.experts;
  const std::int64_t F = expert_width(config, index);
  specs.push_back({layer + "moe.router.weight", {E, C}, Role::router});
  specs.push_back({layer + "moe.experts.gate_up.weight", {E, 2 * F, C}, Role::matrix, true});
  specs.push_back({layer + "moe.experts.down.weight", {E, C, F}, Role::residual_matrix, true});
  if (config.moe.shared_experts > 0) {
    add_mlp(specs, layer + "moe.shared.", C, shared_width(config, index));
    if (config.moe.shared_expert_gate)
      specs.push_back({layer + "moe.shared_gate.weight", {1, C}, Role::matrix});
  }
}

}  // namespace

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  std::vector<ParameterSpec> specs;
  specs.push_back({"embedding.weight", {config.vocab_size, config.width}, Role::embedding});
  for (std::int64_t l = 0; l < config.layers; ++l) {
    const std::string layer = fmt::format("layers.{}.", l);
    add_attention(specs, config, layer);
    specs.push_back({layer + "mlp_norm.weight", {config.width}, Role::norm});
    if (is_moe_layer(config, l)) {
      add_moe(specs, config, l, layer);
    } else {
      add_mlp(specs, layer + "mlp.", config.width, dense_width(config));
    }
  }
  specs.push_back({"final_norm.weight", {config.width}, Role::norm});
  if (!config.tied_head) specs.push_back({"head.weight", {config.vocab_size, config.width}, Role::head});
  return specs;
}

bool has_weight_decay(Role role) {
  return role == Role::matrix || role == Role::residual_matrix || role == Role::router || role == Role::head;
}

namespace {

Shape local_shape(const ParameterSpec& spec, std::int64_t expert_ranks) {
  const auto& s = spec.shape;
  const std::int64_t first = spec.is_expert ? s[0] / expert_ranks : s[0];
  switch (s.size()) {
    case 1:
      return {first};
    case 2:
      return {first, s[1]};
    default:
      return {first, s[1], s[2]};
  }
}

}  // namespace

ParameterGroup::ParameterGroup(const std::vector<ParameterSpec>& specs, bool experts,
                               std::int64_t expert_rank, std::int64_t expert_ranks,
                               parallel::Communicator& ranks, std::int64_t additions)
    : ranks_(ranks) {
  std::vector<Shape> shapes;
  std::vector<parallel::ShardTensor> tensors;
  for (const ParameterSpec& spec : specs) {
    if (spec.is_expert != experts) continue;
    SWITCHYARD_CHECK(!experts || spec.shape[0] % expert_ranks == 0, "{} experts over {} ranks", spec.shape[0],
                     expert_ranks);
    shapes.push_back(local_shape(spec, expert_ranks));
    const std::int64_t elements = shapes.back().elements();
    parameters_.push_back({spec, experts ? expert_rank * elements : 0, {}, {}});
    tensors.push_back({elements, experts ? shapes.back()[0] : 1});
  }
  sums_ = std::make_unique<parallel::ExactSums>(ranks, tensors, additions);
  weights_ = kernels::Tensor(DType::f32, {layout().flat_size()});
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    const auto tensor = static_cast<std::int64_t>(p);
    parameters_[p].weight =
        weights_.view().rows(layout().flat_begin(tensor), shapes[p].elements()).reshaped(shapes[p]);
    parameters_[p].gradient = sums_->sum(tensor, shapes[p]);
  }
}

bool ParameterGroup::holds(const std::string& name) const {
  return std::any_of(parameters_.begin(), parameters_.end(),
                     [&](const Parameter& parameter) { return parameter.spec.name == name; });
}

std::pair<std::int64_t, std::int64_t> ParameterGroup::range(std::string_view prefix) const {
  const auto begins = [&](const Parameter& parameter) { return parameter.spec.name.starts_with(prefix); };
  const auto first = std::find_if(parameters_.begin(), parameters_.end(), begins);
  const auto last = std::find_if_not(first, parameters_.end(), begins);
  SWITCHYARD_CHECK(std::none_of(last, parameters_.end(), begins), "parameters of {} must lie together",
                   prefix);
  return {first - parameters_.begin(), last - parameters_.begin()};
}

Parameter& ParameterGroup::find(const std::string& name) {
  for (Parameter& parameter : parameters_)
    if (parameter.spec.name == name) return parameter;
  throw InternalError(fmt::format("internal: no parameter named {}", name));
}

namespace {
double initial_deviation(Role role, const ModelConfig& config) {
  if (role ==
      Role::residual_matrix)  // keeps the variance of the residual stream from growing with depth (GPT-2)
    return config.init_std / std::sqrt(2.0 * static_cast<double>(config.layers));
  return config.init_std;
}
}  // namespace

void initialize(kernels::Context& context, ParameterGroup& group, const ModelConfig& config,
                std::uint64_t seed) {
  constexpr std::int64_t kGrain = 1 << 14;
  for (Parameter& parameter : group.parameters()) {
    const Role role = parameter.spec.role;
    auto* values = parameter.weight.data<float>();
    const std::int64_t count = parameter.elements();
    if (role == Role::norm || role == Role::bias) {
      std::fill(values, values + count, role == Role::norm ? 1.0F : 0.0F);
      continue;
    }
    const kernels::RandomStream stream(seed, "initialise " + parameter.spec.name);
    const double deviation = initial_deviation(role, config);
    const TensorView flat = parameter.weight.reshaped({count});
    context.threads().run(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels::fill_normal(flat.rows(begin, end - begin), stream,
                           static_cast<std::uint64_t>(parameter.global_begin + begin), deviation);
    });
  }
}

}  // namespace switchyard::moe
