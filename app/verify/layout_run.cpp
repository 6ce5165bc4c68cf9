#include "app/verify/layout_run.h"

#include <algorithm>
#include <bit>

#include "app/train/session.h"
#include "app/train/start_up.h"
#include "kernels/runtime/random.h"
#include "moe/optim/schedule.h"

namespace switchyard::app {

namespace {

constexpr std::int64_t kVocab = 61;
// Rows enough that four ranks overload a bound of one gradient block.
constexpr std::int64_t kSequence = 64;
constexpr std::int64_t kSequences = 4;
constexpr std::int64_t kExperts = 12;  // divided by every expert axis up to 4, and 6 and 12

// Multiples of the groups that the expert axes divide.
std::int64_t small_experts(const moe::MoeConfig& moe) {
  std::int64_t experts = kExperts;
  while (experts % moe.groups != 0 || experts / moe.groups * moe.group_top_k < moe.top_k) experts += kExperts;
  return experts;
}

void scale_experts(moe::ModelConfig& model) {
  moe::MoeConfig& moe = model.moe;
  if (moe.experts == 0) return;
  moe.first_dense_layers = std::min<std::int64_t>(moe.first_dense_layers, 1);
  moe.every = std::min<std::int64_t>(moe.every, 2);
  model.layers = std::min(model.layers, moe.first_dense_layers + 2 * moe.every);
  if (moe.expert_width.size() > 1) {  // stays uneven
    moe.expert_width.resize(static_cast<std::size_t>(model.layers));
    for (std::size_t l = 0; l < moe.expert_width.size(); ++l)
      moe.expert_width[l] = 24 + 8 * static_cast<std::int64_t>(l % 2);
  } else {
    moe.expert_width = {24};
  }
  if (moe.shared_expert_width > 0) moe.shared_expert_width = 20;
  moe.experts = small_experts(moe);
}

// A skewed stream: squares of uniforms favour low ids, so that experts are loaded unevenly.
std::vector<std::int32_t> tokens_of(std::int64_t seed, std::int64_t step, std::int64_t unit,
                                    std::int64_t count) {
  const kernels::RandomStream stream(static_cast<std::uint64_t>(seed), "verify tokens");
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const double u =
        stream.uniform(static_cast<std::uint64_t>(unit * count + i), static_cast<std::uint64_t>(step));
    tokens[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(u * u * kVocab);
  }
  return tokens;
}

// One rank's model and what it needs for a step.
class SmallRun {
 public:
  SmallRun(const Config& config, const LayoutSpec& spec, parallel::Communicator& ranks,
           const parallel::HostPlace& place, const LayoutHooks& hooks)
      : config_(config),
        context_(spec.threads, kernels::chosen_isa(), choose_device(config.run.device, place.rank_on_host)),
        device_world_(open_device_world(config.watchdog, ranks, context_, place.host)),
        world_(device_world_.communicator ? *device_world_.communicator : ranks),
        shape_(step_shape(config, world_.rank(), world_.size())),
        mesh_(world_, spec.expert_axis, config.model.moe.experts),
        model_(context_, config.model, mesh_,
               {shape_.units, shape_.B * shape_.T, config.model.max_sequence_length, spec.exchange_rows},
               static_cast<std::uint64_t>(hooks.seed ? hooks.seed(config.run.seed, world_.rank())
                                                     : config.run.seed)),
        optimizer_(model_, mesh_, config.optimizer, shape_.units),
        recompute_(spec.recompute ? moe::Recompute::block : moe::Recompute::none) {
    context_.set_breakage({hooks.rule, world_.rank()});
  }

  void resume(const GlobalTensors& state, std::int64_t step) {
    scatter(context_, state, optimizer_.needed_state());
    model_.use_state(context_);
    optimizer_.set_updates(step);
  }

  StepCapture step(std::int64_t step) {
    StepCapture capture;
    capture.step = step + 1;
    capture.unit_loss.assign(static_cast<std::size_t>(shape_.units), 0.0);
    moe::StepTotals totals(model_.moe_layers(), config_.model.moe.experts);
    model_.clear_gradients();
    for (const std::int64_t& unit : shape_.my_units) {
      const moe::UnitResult result = run_unit(step, unit, &unit == &shape_.my_units.back());
      if (unit < 0) continue;
      totals.add(result);
      capture.unit_loss[static_cast<std::size_t>(unit)] = result.loss;
    }
    capture.summary = totals.reduce(world_);
    share_losses(capture.unit_loss);
    const double rate = moe::learning_rate(config_.optimizer, step, kVerifySteps);
    const moe::UpdateReport update = optimizer_.step(context_, rate, capture.summary.finite);
    if (update.applied) optimizer_.balance(loads_of(capture.summary));
    capture.gradient_norm = update.gradient_norm;
    capture.gradients = assemble(context_, world_, optimizer_.gradient_sums());
    capture.state = assemble(context_, world_, optimizer_.owned_state());
    return capture;
  }

 private:
  moe::UnitResult run_unit(std::int64_t step, std::int64_t unit, bool last) {
    const std::int64_t B = unit < 0 ? 0 : shape_.B, T = shape_.T;
    const std::vector<std::int32_t> tokens =
        tokens_of(config_.run.seed, step, std::max<std::int64_t>(unit, 0), B * T);
    const std::vector<std::int32_t> targets =
        tokens_of(config_.run.seed + 1, step, std::max<std::int64_t>(unit, 0), B * T);
    return model_.train_unit(context_,
                             {{tokens.data(), DType::i32, {B, T}}, {targets.data(), DType::i32, {B, T}}},
                             recompute_, last);
  }

  // Every unit was computed on one rank; the others hold 0, whose bits are 0, so sums of the bits are the
  // values.
  void share_losses(std::vector<double>& losses) {
    std::vector<std::int64_t> bits;
    for (const double loss : losses) bits.push_back(std::bit_cast<std::int64_t>(loss));
    world_.all_reduce_sum(bits);
    for (std::size_t unit = 0; unit < losses.size(); ++unit) losses[unit] = std::bit_cast<double>(bits[unit]);
  }

  const Config& config_;
  kernels::Context context_;
  parallel::DeviceWorld device_world_;
  parallel::Communicator& world_;
  StepShape shape_;
  parallel::Mesh mesh_;
  moe::Model model_;
  moe::Optimizer optimizer_;
  moe::Recompute recompute_;
};

}  // namespace

Config scaled_down(const Config& config) {
  Config small = config;
  moe::ModelConfig& model = small.model;
  const bool keeps_head_width = model.head_width > 0 && model.head_width * model.heads != model.width;
  const std::int64_t group = std::min<std::int64_t>(model.heads / model.kv_heads, 3);
  model.kv_heads = std::min<std::int64_t>(model.kv_heads, 2);
  model.heads = model.kv_heads * group;
  model.head_width = 8;
  model.width = keeps_head_width ? 40 : 8 * model.heads;
  model.vocab_size = kVocab;
  model.layers = std::min<std::int64_t>(model.layers, 3);
  model.mlp_width = 40;
  model.max_sequence_length = kSequence;
  scale_experts(model);
  small.data.sequence_length = kSequence;
  small.train.micro_batch = kSequences;
  small.train.global_batch = 12 * kSequences;
  small.train.steps = kVerifySteps;
  small.optimizer.schedule.warmup_steps = 1;
  small.optimizer.schedule.decay_steps = 1;
  return small;
}

Capture run_layout(const Config& config, const LayoutSpec& spec, parallel::Communicator& world,
                   const parallel::HostPlace& place, const GlobalTensors* resume_state,
                   const LayoutHooks& hooks) {
  const std::unique_ptr<parallel::Communicator> wrapped = hooks.wrap ? hooks.wrap(world) : nullptr;
  SmallRun run(config, spec, wrapped ? *wrapped : world, place, hooks);
  if (resume_state != nullptr) run.resume(*resume_state, spec.resume_at);
  Capture capture;
  for (std::int64_t step = spec.resume_at; step < kVerifySteps; ++step) capture.push_back(run.step(step));
  return capture;
}

}  // namespace switchyard::app
