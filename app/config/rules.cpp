#include "app/config/rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "app/config/table/option.h"
#include "kernels/runtime/error.h"

namespace switchyard::app {

namespace {

using kernels::RopeScalingKind;
using moe::AuxLossOver;
using moe::DropPolicy;
using moe::RouterScore;
using moe::ScheduleKind;
using moe::SoftmaxOrder;

using Paths = std::initializer_list<std::string_view>;

class Rules {
 public:
  Rules(const Config& config, const KeyKnowledge& keys) : config_(config), keys_(keys) {}

  std::vector<Mistake> broken() {
    attention();
    windows();
    positions();
    experts();
    groups();
    router();
    switched_off_features();
    sizes();
    batches();
    schedule();
    checkpoints();
    rollbacks();
    return std::move(mistakes_);
  }

 private:
  /// The first of `reads` is the key to change, the rest are the other keys the rule reads. The place is the
  /// first of them that was given, so that it points at text the user wrote.
  void require(bool holds, Paths reads, std::string rule, std::string got, std::string hint = "") {
    if (holds || std::ranges::any_of(reads, keys_.is_broken)) return;
    const auto given = std::ranges::find_if(reads, keys_.is_given);
    const std::string_view placed = given == reads.end() ? *reads.begin() : *given;
    mistakes_.push_back(
        {keys_.place(placed), std::string(*reads.begin()), std::move(rule), std::move(got), std::move(hint)});
  }

  void attention() {
    const auto& model = config_.model;
    if (model.head_width == 0) {
      require(model.width % model.heads == 0, {"model.heads", "model.width"},
              "must divide model.width unless model.head_width is given",
              fmt::format("{} heads, width {}", model.heads, model.width));
    }
    const std::int64_t head_width = moe::head_width(model);
    const bool divides = model.head_width > 0 || model.width % model.heads == 0;
    require(!divides || head_width % 2 == 0, {"model.head_width", "model.heads", "model.width"},
            "must be even, since rotary positions turn pairs of values", fmt::format("{}", head_width),
            "change model.head_width, model.width or model.heads");
    require(model.heads % model.kv_heads == 0, {"model.kv_heads", "model.heads"}, "must divide model.heads",
            fmt::format("{} key/value heads, {} heads", model.kv_heads, model.heads));
    require(config_.data.sequence_length <= model.max_sequence_length,
            {"data.sequence_length", "model.max_sequence_length"},
            "must be at most model.max_sequence_length",
            fmt::format("{} > {}", config_.data.sequence_length, model.max_sequence_length));
    require(model.vocab_size != 1, {"model.vocab_size"}, "must be 0 (taken from the data) or at least 2",
            "1");
  }

  void windows() {
    const auto& model = config_.model;
    const std::int64_t listed = std::ssize(model.sliding_window);
    require(listed == 1 || listed == model.layers, {"model.sliding_window", "model.layers"},
            "must be one number, or a list with one per layer",
            fmt::format("{} values, {} layers", listed, model.layers));
  }

  void positions() {
    const auto& scaling = config_.model.rope_scaling;
    const bool llama3 = scaling.kind == RopeScalingKind::llama3;
    const bool yarn = scaling.kind == RopeScalingKind::yarn;
    require(scaling.kind != RopeScalingKind::none || scaling.factor == 1,
            {"model.rope_scaling.factor", "model.rope_scaling.kind"},
            "has no effect without model.rope_scaling.kind", fmt::format("{}", scaling.factor));
    require(!(llama3 || yarn) || scaling.original_length > 0,
            {"model.rope_scaling.original_length", "model.rope_scaling.kind"},
            "must be at least 1 with llama3 and yarn", fmt::format("{}", scaling.original_length));
    require(!llama3 || scaling.high_frequency_factor > scaling.low_frequency_factor,
            {"model.rope_scaling.high_frequency_factor", "model.rope_scaling.low_frequency_factor",
             "model.rope_scaling.kind"},
            "must be greater than model.rope_scaling.low_frequency_factor",
            fmt::format("{}, low {}", scaling.high_frequency_factor, scaling.low_frequency_factor));
    require(!yarn || scaling.beta_fast > scaling.beta_slow,
            {"model.rope_scaling.beta_fast", "model.rope_scaling.beta_slow", "model.rope_scaling.kind"},
            "must be greater than model.rope_scaling.beta_slow",
            fmt::format("{}, slow {}", scaling.beta_fast, scaling.beta_slow));
    require(!yarn || config_.model.rope_theta > 1, {"model.rope_theta", "model.rope_scaling.kind"},
            "must be above 1 with yarn, whose ramp divides by its logarithm",
            fmt::format("{}", config_.model.rope_theta));
  }

  void experts() {
    const auto& moe = config_.model.moe;
    const std::int64_t ranks = config_.parallel.expert;
    require(ranks == 1 || moe.experts > 0, {"parallel.expert", "model.moe.experts"},
            "must be 1 for a dense model", fmt::format("{}", ranks), "set model.moe.experts");
    experts_are_given();
    if (moe.experts == 0) return;
    require(moe.top_k <= moe.experts, {"model.moe.top_k", "model.moe.experts"},
            "must be at most model.moe.experts", fmt::format("{} > {}", moe.top_k, moe.experts));
    require(moe.experts % ranks == 0, {"parallel.expert", "model.moe.experts"},
            "must divide model.moe.experts", fmt::format("{} ranks, {} experts", ranks, moe.experts));
    expert_layers();
  }

  /// Keys of model.moe without the number of experts would be ignored in silence.
  void experts_are_given() {
    if (keys_.is_given("model.moe.experts")) return;
    for (const Option* option : options_of("model.moe")) {
      if (!keys_.is_given(option->path)) continue;
      require(false, {"model.moe.experts", option->path}, "must be given with the other keys of model.moe",
              "nothing");
      return;
    }
  }

  void expert_layers() {
    const auto& model = config_.model;
    const auto& moe = model.moe;
    require(moe.first_dense_layers <= model.layers, {"model.moe.first_dense_layers", "model.layers"},
            "must be at most model.layers", fmt::format("{} > {}", moe.first_dense_layers, model.layers));
    require(
        moe.first_dense_layers > model.layers || moe.first_dense_layers + moe.every <= model.layers,
        {"model.moe.every", "model.moe.first_dense_layers", "model.layers"},
        "must leave at least one layer with experts",
        fmt::format("every {} after {} dense of {} layers", moe.every, moe.first_dense_layers, model.layers),
        "lower model.moe.every or model.moe.first_dense_layers, or set model.moe.experts: 0");
    for (const std::int64_t layer : moe.dense_layers)
      require(layer < model.layers, {"model.moe.dense_layers", "model.layers"},
              "must name layers from 0 to model.layers - 1",
              fmt::format("layer {} of {}", layer, model.layers));
    require(moe.dense_layers.empty() || moe::moe_layer_count(model) > 0,
            {"model.moe.dense_layers", "model.moe.every", "model.moe.first_dense_layers", "model.layers"},
            "must leave at least one layer with experts",
            fmt::format("[{}]", fmt::join(moe.dense_layers, ", ")),
            "shorten model.moe.dense_layers, or set model.moe.experts: 0");
    const auto listed = static_cast<std::int64_t>(moe.expert_width.size());
    const bool length_fits = listed == 1 || listed == model.layers;
    require(length_fits, {"model.moe.expert_width", "model.layers"},
            "must be one number, or a list with one per layer",
            fmt::format("{} values, {} layers", listed, model.layers));
    for (std::int64_t layer = 0; length_fits && layer < model.layers; ++layer) {
      if (!moe::is_moe_layer(model, layer) || moe::expert_width(model, layer) > 0) continue;
      require(false, {"model.moe.expert_width", "model.moe.experts"},
              "must be at least 1 where a layer holds experts", fmt::format("0 for layer {}", layer),
              "set model.moe.expert_width");
      return;
    }
  }

  void groups() {
    const auto& moe = config_.model.moe;
    if (moe.experts == 0) return;
    const bool divides = moe.experts % moe.groups == 0;
    require(divides, {"model.moe.groups", "model.moe.experts"}, "must divide model.moe.experts",
            fmt::format("{} groups, {} experts", moe.groups, moe.experts));
    require(moe.group_top_k <= moe.groups, {"model.moe.group_top_k", "model.moe.groups"},
            "must be at most model.moe.groups", fmt::format("{} > {}", moe.group_top_k, moe.groups));
    if (!divides || moe.group_top_k > moe.groups || moe.top_k > moe.experts) return;
    const std::int64_t eligible = moe.group_top_k * (moe.experts / moe.groups);
    require(moe.top_k <= eligible,
            {"model.moe.top_k", "model.moe.group_top_k", "model.moe.groups", "model.moe.experts"},
            "must be at most the experts of the eligible groups (group_top_k * experts / groups)",
            fmt::format("{} > {}", moe.top_k, eligible));
  }

  /// A weight that is always 1 passes no gradient to the router: it would stay as it was initialised.
  void router() {
    const auto& moe = config_.model.moe;
    if (moe.experts == 0 || moe.score != RouterScore::softmax || moe.top_k > 1) return;
    const bool after = moe.softmax_order == SoftmaxOrder::after_top_k;
    require(!after, {"model.moe.softmax_order", "model.moe.top_k"},
            "must be before_top_k with model.moe.top_k: 1, or every weight is 1 and the router cannot learn",
            "after_top_k");
    require(
        after || !moe.renormalize, {"model.moe.renormalize", "model.moe.top_k"},
        "must be false with softmax and model.moe.top_k: 1, or every weight is 1 and the router cannot learn",
        "true");
  }

  /// A key that asks for something which another key rules out is refused, never quietly ignored.
  void switched_off_features() {
    const auto& moe = config_.model.moe;
    const bool dense = moe.experts == 0 && keys_.is_given("model.moe.experts");
    require(moe.shared_experts == 0 || !dense, {"model.moe.shared_experts", "model.moe.experts"},
            "must be 0 for a dense model", fmt::format("{}", moe.shared_experts), "set model.moe.experts");
    require(!moe.shared_expert_gate || moe.shared_experts > 0,
            {"model.moe.shared_expert_gate", "model.moe.shared_experts"}, "needs model.moe.shared_experts",
            "true, 0 shared experts");
    require(moe.shared_expert_width == 0 || moe.shared_experts > 0,
            {"model.moe.shared_expert_width", "model.moe.shared_experts"}, "needs model.moe.shared_experts",
            fmt::format("{}, 0 shared experts", moe.shared_expert_width));
    require(!moe.bias_balancing || !dense, {"model.moe.bias_balancing", "model.moe.experts"},
            "must be false for a dense model", "true", "set model.moe.experts");
    require(moe.drop_policy == DropPolicy::probability || moe.capacity_factor > 0,
            {"model.moe.drop_policy", "model.moe.capacity_factor"},
            "has no effect without model.moe.capacity_factor", "position, capacity_factor 0 (dropless)");
    require(moe.aux_loss_over == AuxLossOver::layer || moe.aux_loss > 0,
            {"model.moe.aux_loss_over", "model.moe.aux_loss"}, "has no effect without model.moe.aux_loss",
            "all_layers, aux_loss 0");
    const auto& schedule = config_.optimizer.schedule;
    require(schedule.decay_steps == 0 || schedule.kind == ScheduleKind::wsd,
            {"optimizer.schedule.decay_steps", "optimizer.schedule.kind"},
            "has no effect unless optimizer.schedule.kind is wsd", fmt::format("{}", schedule.decay_steps));
  }

  /// Sizes whose product no machine holds; below these bounds later arithmetic cannot overflow.
  void sizes() {
    const auto& model = config_.model;
    const auto& moe = model.moe;
    const auto width = static_cast<double>(model.width);
    const auto widest = static_cast<double>(std::ranges::max(moe.expert_width));
    const double per_layer =
        3 * width *
        std::max(static_cast<double>(moe.experts) * widest, static_cast<double>(moe::dense_width(model)));
    constexpr double kMostParameters = 1e15;
    require(static_cast<double>(model.layers) * per_layer <= kMostParameters,
            {"model.layers", "model.width", "model.moe.experts", "model.moe.expert_width", "model.mlp_width"},
            "the model must have at most 1e15 parameters",
            fmt::format("about {:.1e}", static_cast<double>(model.layers) * per_layer));
    constexpr std::int64_t kMostRows = 2'147'483'647;
    const std::int64_t rows = config_.train.micro_batch * config_.data.sequence_length;
    const std::int64_t choices = moe.experts > 0 ? moe.top_k : 1;
    require(rows <= kMostRows / choices, {"train.micro_batch", "data.sequence_length", "model.moe.top_k"},
            "a micro-batch must have at most 2147483647 routed rows (micro_batch * sequence_length * top_k)",
            fmt::format("{} * {} * {}", config_.train.micro_batch, config_.data.sequence_length, choices));
  }

  void batches() {
    const auto& train = config_.train;
    require(train.global_batch % train.micro_batch == 0, {"train.micro_batch", "train.global_batch"},
            "must divide train.global_batch", fmt::format("{} of {}", train.micro_batch, train.global_batch));
  }

  void schedule() {
    const auto& schedule = config_.optimizer.schedule;
    const std::int64_t steps = config_.train.steps;
    require(schedule.warmup_steps < steps, {"optimizer.schedule.warmup_steps", "train.steps"},
            "must be less than train.steps", fmt::format("{} of {} steps", schedule.warmup_steps, steps));
    if (schedule.kind != ScheduleKind::wsd || schedule.warmup_steps >= steps) return;
    const std::int64_t decay = schedule.decay_steps > 0 ? schedule.decay_steps : steps / 5;
    require(decay <= steps - schedule.warmup_steps,
            {"optimizer.schedule.decay_steps", "optimizer.schedule.warmup_steps", "train.steps"},
            "must fit into train.steps after the warm-up",
            fmt::format("{} of decay after {} of warm-up in {} steps", decay, schedule.warmup_steps, steps));
  }

  void checkpoints() {
    const auto& checkpoint = config_.checkpoint;
    require(checkpoint.failure_interval_seconds == 0 || checkpoint.every == 0,
            {"checkpoint.failure_interval", "checkpoint.every"},
            "must be 0 where checkpoint.every gives the interval",
            fmt::format("{} s, every {}", checkpoint.failure_interval_seconds, checkpoint.every));
    if (checkpoint.keep_every == 0) return;
    require(checkpoint.every > 0 && checkpoint.keep_every % checkpoint.every == 0,
            {"checkpoint.keep_every", "checkpoint.every"}, "must be a multiple of checkpoint.every",
            fmt::format("{}, every {}", checkpoint.keep_every, checkpoint.every));
  }

  /// A rollback goes to a checkpoint at or before its target, so one must be kept there.
  void rollbacks() {
    const auto& guard = config_.guard;
    const auto& checkpoint = config_.checkpoint;
    if (guard.rollback_after == 0) return;
    require(checkpoint.every > 0, {"guard.rollback_after", "checkpoint.every"},
            "needs checkpoints to go back to", "checkpoint.every: 0", "set checkpoint.every");
    if (checkpoint.every == 0) return;
    require(
        (checkpoint.keep - 1) * checkpoint.every >= guard.rollback_steps,
        {"guard.rollback_steps", "checkpoint.keep", "checkpoint.every"},
        "must be at most (checkpoint.keep - 1) * checkpoint.every, or no checkpoint is kept so far back",
        fmt::format("{} steps, keep {}, every {}", guard.rollback_steps, checkpoint.keep, checkpoint.every));
  }

  const Config& config_;
  const KeyKnowledge& keys_;
  std::vector<Mistake> mistakes_;
};

}  // namespace

std::vector<Mistake> broken_rules(const Config& config, const KeyKnowledge& keys) {
  return Rules(config, keys).broken();
}

std::vector<std::int64_t> possible_expert_axes(const Config& config, std::int64_t ranks) {
  const std::int64_t experts = config.model.moe.experts;
  const std::int64_t most = experts == 0 ? 1 : std::gcd(experts, ranks);
  std::vector<std::int64_t> axes;
  for (std::int64_t axis = 1; axis <= most; ++axis)
    if (most % axis == 0) axes.push_back(axis);
  return axes;
}

void check_layout(const Config& config, std::int64_t ranks) {
  if (ranks < 1) throw UserError(fmt::format("the number of ranks must be at least 1; got {}", ranks));
  const std::int64_t expert = config.parallel.expert;
  if (ranks % expert == 0) return;
  const std::int64_t above = (ranks / expert + 1) * expert;
  const std::int64_t below = above - expert;
  const std::string counts = below > 0 ? fmt::format("{} or {}", below, above) : fmt::format("{}", above);
  throw UserError(
      fmt::format("parallel.expert must divide the number of ranks; got parallel.expert {} with {} ranks; "
                  "start {} ranks, or "
                  "--set parallel.expert={}",
                  expert, ranks, counts, fmt::join(possible_expert_axes(config, ranks), " or ")));
}

}  // namespace switchyard::app
