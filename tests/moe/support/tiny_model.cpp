#include "tests/moe/support/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/runtime/random.h"
#include "tests/support/op_test.h"

namespace switchyard::test {

moe::ModelConfig dense_config() {
  moe::ModelConfig config;
  config.vocab_size = 13;
  config.layers = 2;
  config.width = 8;
  config.heads = 2;
  config.kv_heads = 2;
  config.mlp_width = 6;
  config.max_sequence_length = 8;
  config.rope_theta = 100.0;
  return config;
}

moe::ModelConfig moe_config() {
  moe::ModelConfig config = dense_config();
  config.moe.experts = 6;
  config.moe.top_k = 2;
  config.moe.expert_width = {4};
  return config;
}

namespace {

moe::ModelConfig deepseek_config() {
  moe::ModelConfig config = moe_config();
  config.vocab_size = 17;
  config.width = 12;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_width = 4;
  config.qk_norm = moe::QkNorm::per_head;
  config.moe.experts = 8;
  config.moe.top_k = 3;
  config.moe.first_dense_layers = 1;
  config.moe.shared_experts = 2;
  config.moe.shared_expert_width = 3;
  config.moe.score = moe::RouterScore::sigmoid;
  config.moe.scaling_factor = 2.5;
  config.moe.groups = 4;
  config.moe.group_top_k = 2;
  config.moe.bias_balancing = true;
  config.moe.sequence_aux_loss = 0.3;
  config.moe.aux_loss = 0.2;
  return config;
}

moe::ModelConfig qwen_config() {
  moe::ModelConfig config = moe_config();
  config.heads = 4;
  config.kv_heads = 1;
  config.head_width = 2;
  config.attention_bias = true;
  config.tied_head = true;
  config.moe.shared_experts = 1;
  config.moe.shared_expert_gate = true;
  config.moe.renormalize = false;
  config.moe.aux_loss = 0.5;
  config.moe.z_loss = 0.1;
  return config;
}

moe::ModelConfig mixtral_config() {
  moe::ModelConfig config = moe_config();
  config.vocab_size = 11;
  config.qk_norm = moe::QkNorm::full_width;
  config.attention_bias = true;
  config.moe.softmax_order = moe::SoftmaxOrder::after_top_k;
  config.moe.bias_balancing = true;
  config.moe.z_loss = 0.2;
  config.moe.expert_width = {4, 5};
  return config;
}

moe::ModelConfig switch_config() {
  moe::ModelConfig config = moe_config();
  config.moe.top_k = 1;
  config.moe.renormalize = false;
  config.moe.every = 2;
  config.moe.aux_loss = 0.4;
  config.moe.capacity_factor = 1.0;
  config.moe.drop_policy = moe::DropPolicy::position;
  return config;
}

moe::ModelConfig dropping_config() {
  moe::ModelConfig config = moe_config();
  config.moe.top_k = 3;
  config.moe.score = moe::RouterScore::sigmoid;
  config.moe.sequence_aux_loss = 0.5;
  config.moe.capacity_factor = 0.9;
  return config;
}

moe::ModelConfig one_sigmoid_config() {
  moe::ModelConfig config = moe_config();
  config.kv_heads = 1;
  config.moe.top_k = 1;
  config.moe.score = moe::RouterScore::sigmoid;
  config.moe.bias_balancing = true;
  config.moe.aux_loss = 0.3;
  return config;
}

moe::ModelConfig sparse_softmax_config() {
  moe::ModelConfig config = moe_config();
  config.moe.groups = 3;
  config.moe.group_top_k = 2;
  config.moe.scaling_factor = 1.5;
  config.moe.renormalize = false;
  config.moe.sequence_aux_loss = 0.2;
  config.moe.z_loss = 0.05;
  return config;
}

// Positions 0 to 4 with two frequencies: one is kept or in between, the other stretched.
moe::ModelConfig yarn_config() {
  moe::ModelConfig config = dense_config();
  config.rope_scaling = {.kind = kernels::RopeScalingKind::yarn,
                         .factor = 4,
                         .original_length = 20,
                         .beta_fast = 4,
                         .beta_slow = 0.2,
                         .truncate = false};
  config.sliding_window = {2};
  config.attention_bias = true;
  config.attention_output_bias = true;
  return config;
}

moe::ModelConfig clipped_config() {
  moe::ModelConfig config = moe_config();
  config.layers = 3;
  config.qk_norm = moe::QkNorm::full_width;
  config.clip_qkv = 0.7;
  config.sliding_window = {3, 0, 2};
  config.rope_scaling = {.kind = kernels::RopeScalingKind::llama3, .factor = 3, .original_length = 15};
  config.moe.dense_layers = {1};
  config.moe.aux_loss = 0.6;
  config.moe.aux_loss_over = moe::AuxLossOver::all_layers;
  return config;
}

moe::ModelConfig linear_config() {
  moe::ModelConfig config = moe_config();
  config.rope_scaling = {.kind = kernels::RopeScalingKind::linear, .factor = 2.5};
  config.clip_qkv = 1.1;
  config.sliding_window = {4, 2};
  config.moe.renormalize = false;
  config.moe.aux_loss = 0.6;
  config.moe.sequence_aux_loss = 0.2;
  config.moe.aux_loss_over = moe::AuxLossOver::all_layers;
  return config;
}

}  // namespace

std::vector<TinyCase> tiny_cases() {
  moe::ModelConfig tied = dense_config();
  tied.tied_head = true;
  tied.kv_heads = 1;
  moe::ModelConfig plain = moe_config();
  plain.moe.aux_loss = 1.0;
  return {{"dense", dense_config(), 1},
          {"dense_tied", tied, 1},
          {"softmax", plain, 28},
          {"sigmoid_groups_bias_shared", deepseek_config(), 8},
          {"shared_gate_tied_bias_vectors", qwen_config(), 31},
          {"softmax_after_choice_full_width_norm", mixtral_config(), 28},
          {"one_expert_drop_by_position", switch_config(), 53},
          {"drop_by_probability", dropping_config(), 12},
          {"one_sigmoid", one_sigmoid_config(), 40},
          {"softmax_groups_not_renormalised", sparse_softmax_config(), 41},
          {"window_yarn_output_bias", yarn_config(), 1},
          {"windows_clip_llama3_loss_over_layers", clipped_config(), 1},
          {"windows_clip_linear_loss_over_layers", linear_config(), 1}};
}

std::vector<TinyCase> dropless_cases() {
  std::vector<TinyCase> cases = tiny_cases();
  std::erase_if(cases, [](const TinyCase& tiny) { return tiny.config.moe.capacity_factor != 0; });
  return cases;
}

std::string tiny_case_name(const testing::TestParamInfo<TinyCase>& info) {
  return info.param.name;
}

ReferenceUnit random_unit(const moe::ModelConfig& config, std::int64_t B, std::int64_t T,
                          std::uint64_t seed) {
  const kernels::RandomStream stream(seed, "unit");
  ReferenceUnit unit;
  unit.B = B;
  unit.T = T;
  for (std::int64_t n = 0; n < B * T; ++n) {
    const auto words = stream.words(static_cast<std::uint64_t>(n));
    unit.tokens.push_back(
        static_cast<std::int32_t>(words[0] % static_cast<std::uint64_t>(config.vocab_size)));
    unit.targets.push_back(
        static_cast<std::int32_t>(words[1] % static_cast<std::uint64_t>(config.vocab_size)));
  }
  if (!unit.targets.empty()) unit.targets[0] = -1;
  return unit;
}

UnitTensors::UnitTensors(const ReferenceUnit& unit)
    : tokens(i32_tensor({unit.B, unit.T}, unit.tokens)),
      targets(i32_tensor({unit.B, unit.T}, unit.targets)) {}

namespace {

double deviation(const moe::Parameter& parameter) {
  switch (parameter.spec.role) {
    case moe::Role::norm:
    case moe::Role::bias:
      return 0.2;
    case moe::Role::embedding:
      return 1.0;
    default:
      return 1.0 / std::sqrt(static_cast<double>(parameter.spec.shape.back()));
  }
}

}  // namespace

void set_random_weights(moe::Model& model, std::uint64_t seed) {
  for (moe::ParameterGroup* group : {&model.dense(), &model.experts()}) {
    std::vector<kernels::Tensor> exact;
    for (moe::Parameter& parameter : group->parameters()) {
      const std::int64_t count = parameter.elements();
      const kernels::Tensor& values = exact.emplace_back(DType::f32, Shape{count});
      kernels::fill_normal(values, kernels::RandomStream(seed, "test " + parameter.spec.name),
                           static_cast<std::uint64_t>(parameter.global_begin), deviation(parameter));
      if (parameter.spec.role == moe::Role::norm)
        for (std::int64_t i = 0; i < count; ++i) values.data<float>()[i] += 1.0F;
      const kernels::Tensor rounded = as_bf16(values);
      const ConstTensorView stored = parameter.weight.dtype() == DType::f32 ? values.view() : rounded.view();
      std::memcpy(parameter.weight.raw(), stored.raw(), stored.bytes());
    }
    for (const parallel::ShardPiece& piece : group->layout().pieces(group->ranks().rank())) {
      const ConstTensorView part =
          exact[static_cast<std::size_t>(piece.tensor)].view().rows(piece.begin, piece.elements());
      std::memcpy(group->master(piece).raw(), part.raw(), part.bytes());
    }
  }
  const std::vector<TensorView> biases = model.balancing_biases();
  for (std::size_t m = 0; m < biases.size(); ++m)
    kernels::fill_normal(biases[m], kernels::RandomStream(seed, "test bias " + std::to_string(m)), 0, 0.2);
}

moe::ModelLimits tiny_limits(std::int64_t B, std::int64_t T, std::int64_t units_per_step) {
  return {units_per_step, B * T, T, 0};
}

TinyModel::TinyModel(const moe::ModelConfig& config, std::uint64_t seed, const moe::ModelLimits& limits,
                     int threads, kernels::Isa isa)
    : context(threads, isa),
      world(parallel::single_rank()),
      mesh(*world, 1, config.moe.experts),
      model(context, config, mesh, limits, seed) {
  set_random_weights(model, seed);
}

std::vector<moe::Parameter*> TinyModel::parameters() {
  std::vector<moe::Parameter*> all;
  for (moe::ParameterGroup* group : {&model.dense(), &model.experts()})
    for (moe::Parameter& parameter : group->parameters()) all.push_back(&parameter);
  return all;
}

NamedValues<double> TinyModel::weights() {
  NamedValues<double> values;
  for (const moe::Parameter* parameter : parameters())
    values[parameter->spec.name] = values_of(parameter->weight);
  return values;
}

SelectionBiases TinyModel::biases() const {
  SelectionBiases biases;
  for (const TensorView& bias : model.balancing_biases()) biases.push_back(values_of(bias));
  return biases;
}

NamedValues<double> TinyModel::gradients() {
  NamedValues<double> values;
  for (const moe::Parameter* parameter : parameters()) {
    std::vector<double> gradient = values_of(parameter->gradient.sums);
    for (double& value : gradient) value *= kernels::kGridUnit;
    values[parameter->spec.name] = std::move(gradient);
  }
  return values;
}

}  // namespace switchyard::test
