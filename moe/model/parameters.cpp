#include "moe/model/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "kernels/ops/elementwise.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/host_values.h"
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
      specs.push_back({layer + "moe.shared_gate.weight", {1, C}, Role::gate});
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
  return role != Role::embedding && role != Role::norm && role != Role::bias;
}

DType weight_dtype(Role role, DType activation) {
  switch (role) {
    case Role::embedding:
    case Role::head:
    case Role::matrix:
    case Role::residual_matrix:
      return activation;
    case Role::router:
    case Role::gate:
    case Role::norm:
    case Role::bias:
      return DType::f32;
  }
  return DType::f32;
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
                               parallel::Communicator& ranks, std::int64_t additions, DType activation,
                               kernels::Context& context)
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
  sums_ = std::make_unique<parallel::ExactSums>(ranks, tensors, additions, &context);
  offsets_ = {0};
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    const auto tensor = static_cast<std::int64_t>(p);
    const DType dtype = weight_dtype(parameters_[p].spec.role, activation);
    const std::int64_t padded = layout().flat_begin(tensor + 1) - layout().flat_begin(tensor);
    offsets_.push_back(offsets_.back() + padded * static_cast<std::int64_t>(dtype_size(dtype)));
    has_masters_ = has_masters_ || dtype != DType::f32;
  }
  weights_ = kernels::Tensor(DType::u8, {offsets_.back()}, context.device());
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    parameters_[p].weight = {weights_.data<std::uint8_t>() + offsets_[p],
                             weight_dtype(parameters_[p].spec.role, activation), shapes[p], context.device()};
    parameters_[p].gradient = sums_->sum(static_cast<std::int64_t>(p), shapes[p]);
  }
  if (has_masters_)
    masters_ = kernels::Tensor(DType::f32, {layout().shard_size(ranks.rank())}, context.device());
}

TensorView ParameterGroup::weight(const parallel::ShardPiece& piece) const {
  const TensorView& whole = parameters_[static_cast<std::size_t>(piece.tensor)].weight;
  return whole.reshaped({whole.elements()}).rows(piece.begin, piece.elements());
}

TensorView ParameterGroup::master(const parallel::ShardPiece& piece) const {
  if (!has_masters_) return weight(piece);
  return masters_.view().rows(piece.flat_begin - layout().shard_begin(ranks_.rank()), piece.elements());
}

// Where an element of the flat space lies in the memory of the weights, in bytes.
std::int64_t ParameterGroup::weight_offset(std::int64_t flat) const {
  std::size_t tensor = 0;
  while (tensor < parameters_.size() && layout().flat_begin(static_cast<std::int64_t>(tensor) + 1) <= flat)
    ++tensor;
  if (tensor == parameters_.size()) return offsets_.back();
  const std::int64_t within = flat - layout().flat_begin(static_cast<std::int64_t>(tensor));
  return offsets_[tensor] +
         within * static_cast<std::int64_t>(dtype_size(parameters_[tensor].weight.dtype()));
}

void ParameterGroup::gather_weights() {
  if (ranks_.size() == 1) return;
  const std::span all(static_cast<std::byte*>(weights_.view().raw()), weights_.view().bytes());
  std::vector<std::int64_t> bytes;
  for (int rank = 0; rank < layout().ranks(); ++rank)
    bytes.push_back(weight_offset(layout().shard_end(rank)) - weight_offset(layout().shard_begin(rank)));
  const int self = ranks_.rank();
  const auto mine = all.subspan(static_cast<std::size_t>(weight_offset(layout().shard_begin(self))),
                                static_cast<std::size_t>(bytes[static_cast<std::size_t>(self)]));
  ranks_.all_gather_v(mine, all, bytes, weights_.view().device());
}

void ParameterGroup::round_masters(kernels::Context& context) {
  if (!has_masters_) return;
  for (const parallel::ShardPiece& piece : layout().pieces(ranks_.rank()))
    kernels::convert(context, weight(piece), master(piece));
  gather_weights();
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

// Elements of one parameter from `begin` on, of the local part, as f32.
class InitialValues {
 public:
  InitialValues(const Parameter& parameter, const ModelConfig& config, std::uint64_t seed)
      : stream_(seed, "initialise " + parameter.spec.name),
        role_(parameter.spec.role),
        global_begin_(parameter.global_begin),
        deviation_(initial_deviation(role_, config)) {}

  void fill(TensorView out, std::int64_t begin) const {
    if (role_ == Role::norm || role_ == Role::bias)
      std::fill_n(out.data<float>(), out.elements(), role_ == Role::norm ? 1.0F : 0.0F);
    else
      kernels::fill_normal(out, stream_, static_cast<std::uint64_t>(global_begin_ + begin), deviation_);
  }

 private:
  kernels::RandomStream stream_;
  Role role_;
  std::int64_t global_begin_;
  double deviation_;
};

void fill_rounded(TensorView out, const InitialValues& values, std::int64_t begin) {
  if (out.dtype() == DType::f32) return values.fill(out, begin);
  std::vector<float> exact(static_cast<std::size_t>(out.elements()));
  values.fill({exact.data(), DType::f32, {out.elements()}}, begin);
  std::ranges::transform(exact, out.data<BFloat16>(), [](float value) { return BFloat16(value); });
}

}  // namespace

void initialize(kernels::Context& context, ParameterGroup& group, const ModelConfig& config,
                std::uint64_t seed) {
  constexpr std::int64_t kGrain = 1 << 14;
  for (Parameter& parameter : group.parameters()) {
    const InitialValues values(parameter, config, seed);
    kernels::HostEdit edit(context, parameter.weight);
    const TensorView flat = edit.view().reshaped({parameter.elements()});
    context.threads().run(flat.elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      fill_rounded(flat.rows(begin, end - begin), values, begin);
    });
    edit.finish();
  }
  if (!group.has_masters()) return;
  const std::vector<parallel::ShardPiece> pieces = group.layout().pieces(group.ranks().rank());
  for (const parallel::ShardPiece& piece : pieces) {
    const InitialValues values(group.parameters()[static_cast<std::size_t>(piece.tensor)], config, seed);
    kernels::HostEdit edit(context, group.master(piece));
    const TensorView master = edit.view();
    context.threads().run(master.elements(), kGrain, [&](std::int64_t begin, std::int64_t end) {
      values.fill(master.rows(begin, end - begin), piece.begin + begin);
    });
    edit.finish();
  }
}

}  // namespace switchyard::moe
