#include "moe/optim/optimizer.h"

#include <cmath>

#include "kernels/runtime/host_values.h"
#include "parallel/sums/agreement.h"

namespace switchyard::moe {

Optimizer::Optimizer(Model& model, parallel::Mesh& mesh, const OptimizerConfig& config,
                     std::int64_t units_per_step)
    : model_(model), world_(mesh.data()), config_(config), units_per_step_(units_per_step) {
  shards_.push_back(make_shard(model.dense()));
  if (!model.experts().parameters().empty()) shards_.push_back(make_shard(model.experts()));
}

Optimizer::Shard Optimizer::make_shard(ParameterGroup& group) {
  const int rank = group.ranks().rank();
  const Shape size = {group.layout().shard_size(rank)};
  const Device device = group.weights().device();
  return {group, group.layout().pieces(rank), kernels::Tensor(DType::f32, size, device),
          kernels::Tensor(DType::f32, size, device)};
}

std::int64_t Optimizer::shard_begin(const Shard& shard) {
  return shard.group.layout().shard_begin(shard.group.ranks().rank());
}

void Optimizer::add_squares(kernels::Context& context, Shard& shard, kernels::WideSum& total,
                            bool& finite) const {
  const double scale = 1.0 / static_cast<double>(units_per_step_);
  for (const parallel::ShardPiece& piece : shard.pieces)
    finite = kernels::sum_of_squares(context, total, shard.group.sums().own(piece), scale) && finite;
}

void Optimizer::update(kernels::Context& context, Shard& shard, const kernels::AdamwScalars& scalars) {
  for (const parallel::ShardPiece& piece : shard.pieces) {
    const Parameter& parameter = shard.group.parameters()[static_cast<std::size_t>(piece.tensor)];
    kernels::AdamwScalars own = scalars;
    if (!has_weight_decay(parameter.spec.role)) own.weight_decay = 0;
    const std::int64_t at = piece.flat_begin - shard_begin(shard);
    const TensorView weight = shard.group.has_masters() ? shard.group.weight(piece) : TensorView();
    kernels::adamw_step(context, shard.group.master(piece), shard.m.view().rows(at, piece.elements()),
                        shard.v.view().rows(at, piece.elements()), weight, shard.group.sums().own(piece),
                        own);
  }
}

UpdateReport Optimizer::step(kernels::Context& context, double learning_rate, bool finite,
                             double norm_bound) {
  // Also before a step that is skipped: some of the sums may be under way already.
  for (Shard& shard : shards_) {
    const kernels::TraceScope trace(context.trace(), "reduce_gradient_sums", 0,
                                    static_cast<double>(shard.group.sums().bytes()));
    shard.group.sums().finish();
    finite = finite && shard.group.sums().overflow() == 0;
  }
  UpdateReport report;
  report.gradient_norm = std::nan("");
  if (world_.all_reduce_or(!finite)) return report;

  kernels::WideSum squares;
  for (Shard& shard : shards_) add_squares(context, shard, squares, finite);
  parallel::all_reduce_wide(world_, squares);
  if (world_.all_reduce_or(!finite)) return report;

  report.gradient_norm = std::sqrt(squares.value());
  report.spiked = report.gradient_norm > norm_bound;
  if (report.spiked) return report;
  report.applied = true;
  if (config_.clip_norm > 0 && report.gradient_norm > config_.clip_norm)
    report.clip_factor = config_.clip_norm / report.gradient_norm;
  ++updates_;
  const auto exponent = static_cast<double>(updates_);
  kernels::AdamwScalars scalars;
  scalars.learning_rate = static_cast<float>(learning_rate);
  scalars.beta1 = static_cast<float>(config_.beta1);
  scalars.beta2 = static_cast<float>(config_.beta2);
  scalars.epsilon = static_cast<float>(config_.epsilon);
  scalars.weight_decay = static_cast<float>(config_.weight_decay);
  scalars.bias_correction1 = static_cast<float>(1.0 - std::pow(static_cast<double>(scalars.beta1), exponent));
  scalars.bias_correction2 = static_cast<float>(1.0 - std::pow(static_cast<double>(scalars.beta2), exponent));
  scalars.gradient_scale = report.clip_factor / static_cast<double>(units_per_step_);
  for (Shard& shard : shards_) update(context, shard, scalars);
  for (Shard& shard : shards_) {
    const kernels::TraceScope trace(context.trace(), "gather_weights", 0,
                                    static_cast<double>(shard.group.weights().bytes()));
    shard.group.gather_weights();
    for (const Parameter& parameter : shard.group.parameters())
      context.place().computed(kernels::Site::weights, parameter.weight);
    context.place().computed(kernels::Site::moments, shard.m.view());
    context.place().computed(kernels::Site::moments, shard.v.view());
  }
  return report;
}

void Optimizer::balance(const std::vector<std::vector<std::int64_t>>& loads) {
  const std::vector<TensorView> biases = model_.balancing_biases();
  if (biases.empty()) return;
  SWITCHYARD_CHECK(loads.size() == biases.size(), "{} layers of loads for {} biases", loads.size(),
                   biases.size());
  for (std::size_t m = 0; m < biases.size(); ++m) {
    kernels::HostEdit edit(model_.context(), biases[m]);
    update_balancing_bias(edit.view(), loads[m], model_.config().moe.bias_update_rate);
    edit.finish();
  }
}

namespace {

// `values` are the elements of the parameter's local part from `begin` on.
StateSlice slice_of(const Parameter& parameter, const std::string& prefix, std::int64_t begin,
                    TensorView values) {
  const std::int64_t first = parameter.global_begin + begin;
  return {prefix + parameter.spec.name, values.dtype(), parameter.spec.shape, first,
          first + values.elements(),    values.raw(),   values.device()};
}

void append_bias_slices(Model& model, std::vector<StateSlice>& slices) {
  const std::vector<TensorView> biases = model.balancing_biases();
  for (std::size_t m = 0; m < biases.size(); ++m)
    slices.push_back({fmt::format("layers.{}.moe.router.bias", model.moe_layers()[m]),
                      DType::f32,
                      {biases[m].elements()},
                      0,
                      biases[m].elements(),
                      biases[m].raw(),
                      biases[m].device()});
}

void append_weights(ParameterGroup& group, std::vector<StateSlice>& slices) {
  for (const Parameter& parameter : group.parameters())
    slices.push_back(slice_of(parameter, "", 0, parameter.weight));
}

// This rank's shard.
void append_masters(ParameterGroup& group, std::vector<StateSlice>& slices) {
  for (const parallel::ShardPiece& piece : group.layout().pieces(group.ranks().rank())) {
    const Parameter& parameter = group.parameters()[static_cast<std::size_t>(piece.tensor)];
    slices.push_back(slice_of(parameter, "", piece.begin, group.master(piece)));
  }
}

}  // namespace

void Optimizer::append_moments(Shard& shard, std::vector<StateSlice>& slices) {
  for (const parallel::ShardPiece& piece : shard.pieces) {
    const Parameter& parameter = shard.group.parameters()[static_cast<std::size_t>(piece.tensor)];
    const std::int64_t at = piece.flat_begin - shard_begin(shard);
    slices.push_back(
        slice_of(parameter, "optimizer.m.", piece.begin, shard.m.view().rows(at, piece.elements())));
    slices.push_back(
        slice_of(parameter, "optimizer.v.", piece.begin, shard.v.view().rows(at, piece.elements())));
  }
}

std::vector<StateSlice> Optimizer::owned_state() {
  std::vector<StateSlice> slices;
  for (Shard& shard : shards_) {
    append_masters(shard.group, slices);
    append_moments(shard, slices);
  }
  if (world_.rank() == 0) append_bias_slices(model_, slices);
  return slices;
}

std::vector<StateSlice> Optimizer::gradient_sums() {
  std::vector<StateSlice> slices;
  for (Shard& shard : shards_) {
    for (const parallel::ShardPiece& piece : shard.pieces) {
      const Parameter& parameter = shard.group.parameters()[static_cast<std::size_t>(piece.tensor)];
      const ConstTensorView sums = shard.group.sums().own(piece);
      slices.push_back(slice_of(parameter, "", piece.begin,
                                {const_cast<void*>(sums.raw()), sums.dtype(), sums.shape(), sums.device()}));
    }
  }
  return slices;
}

std::vector<StateSlice> Optimizer::needed_state() {
  std::vector<StateSlice> slices = model_state(model_);
  for (Shard& shard : shards_) append_moments(shard, slices);
  return slices;
}

std::vector<StateSlice> Optimizer::resting_state() {
  std::vector<StateSlice> slices = needed_state();
  for (Shard& shard : shards_)
    if (shard.group.has_masters()) append_weights(shard.group, slices);
  return slices;
}

std::vector<StateSlice> model_state(Model& model) {
  std::vector<StateSlice> slices;
  for (ParameterGroup* group : {&model.dense(), &model.experts()})
    group->has_masters() ? append_masters(*group, slices) : append_weights(*group, slices);
  append_bias_slices(model, slices);
  return slices;
}

}  // namespace switchyard::moe
