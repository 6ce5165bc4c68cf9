#include "app/train/trainer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <span>

#include "app/exit_code.h"
#include "app/metrics/step_line.h"
#include "app/terminal/format.h"
#include "app/train/evaluation.h"
#include "app/train/initial_weights.h"
#include "app/train/memory_plan.h"
#include "app/train/start_up.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/real_io.h"
#include "kernels/runtime/clock.h"
#include "kernels/runtime/error.h"
#include "moe/model/cost.h"
#include "moe/optim/schedule.h"

namespace switchyard::app {

int run_training(const Config& config, parallel::Communicator& world, const TrainOptions& options) {
  data::RealIo real;
  if (options.place_observer != nullptr) options.place_observer->entered({});
  Session session(config, world, options.place);
  session.context().place().set_observer(options.place_observer);
  if (options.probe != nullptr && session.context().device() != Device::cpu)
    throw UserError("--inject: a drill that spoils values works in host memory; set run.device: cpu");
  session.context().place().set_probe(options.probe);
  Trainer trainer(session, options.io != nullptr ? *options.io : real, options);
  try {
    return trainer.run();
  } catch (const kernels::OutOfMemory& error) {
    const std::size_t taken = session.model().activation_bytes() + session.context().scratch().peak_bytes();
    throw DeviceError(out_of_memory_text(session.config(), session.world().size(), error, taken));
  }
}

Trainer::Trainer(Session& session, data::Io& io, const TrainOptions& options)
    : session_(session),
      io_(io),
      options_(options),
      folder_{session.config().run.directory},
      state_(initial_state(session.config(), session.train_data())),
      checkpointer_(session.world(), io, folder_.checkpoints(), session.config().run.name,
                    session.config().checkpoint),
      totals_(session.model().moe_layers(), session.config().model.moe.experts),
      guard_(session.config().guard),
      parity_(session.world(), session.model(), session.optimizer()),
      deadline_(session.config().run.max_time_seconds),
      flops_per_token_(moe::model_cost(session.config().model, session.config().data.sequence_length)
                           .train_flops_per_token) {}

int Trainer::run() {
  resume_or_start();
  Stop stop = Stop::none;
  while (state_.step < steps() && stop == Stop::none) {
    const StepRecord record = train_step();
    report(record);
    stop_if_diverged();
    if (guard_.must_roll_back(state_)) {
      roll_back();
      continue;
    }
    const std::int64_t every = session_.config().train.evaluate_every;
    if (every > 0 && state_.step % every == 0) evaluate();
    save_if_due();
    stop = agreed_stop(record.seconds);
  }
  return finish();
}

void Trainer::resume_or_start() {
  place().enter(kernels::Phase::resume);
  if (options_.fresh) checkpointer_.discard_all();
  const auto checkpoint = checkpointer_.newest();
  if (checkpoint) {
    load(*checkpoint);
    checkpointer_.set_committed_step(state_.step);
  } else if (!session_.config().train.init_from.empty()) {
    load_initial_weights(session_, io_, state_);
  }
  peak_flops_ = measured_peak(session_);
  loader_ = session_.loader(state_.skipped_batches.batch_of(state_.step));
  schedule_.emplace(session_.config().checkpoint, state_.step);
  last_parity_step_ = state_.step;
  if (is_first_rank()) write_resolved_config(session_, folder_);
  open_metrics();
  if (is_first_rank() && !options_.quiet) {
    log_start(session_, folder_, state_, peak_flops_);
    if (const ProgressOutput output = stderr_progress(); output.redraw)
      progress_ = std::make_unique<Progress>(ProgressOptions{"train", "steps", steps(), state_.step}, output);
  }
  checkpointer_.reserve(session_.optimizer().owned_state());
  // A rollback of the first steps needs something to go back to.
  if (!checkpoint && session_.config().guard.rollback_after > 0) save_and_wait();
}

void Trainer::load(const std::filesystem::path& checkpoint) {
  state_ = from_manifest(data::read_manifest(io_, checkpoint));
  check_can_resume(state_, session_.config(), session_.data_digest());
  load_slices(io_, checkpoint, session_.optimizer().needed_state(), session_.context());
  session_.model().use_state(session_.context());
  session_.optimizer().set_updates(state_.updates);
  guard_.restore(state_);
}

void Trainer::open_metrics() {
  if (is_first_rank()) {
    metrics_.reset();  // its file is read by the next one
    metrics_ =
        std::make_unique<MetricsFile>(folder_.metrics(), state_.step, session_.config().metrics.per_expert);
    last_evaluated_step_ = metrics_->last_evaluated_step();
  } else {
    last_evaluated_step_ = -1;
  }
  session_.world().all_reduce_max(std::span(&last_evaluated_step_, 1));
}

void Trainer::roll_back() {
  const std::int64_t from_step = state_.step;
  const std::int64_t row = state_.skipped_in_a_row;
  const Rollback rollback = guard_.rollback(state_);
  guard_.note_rollback(from_step);
  if (checkpointer_.is_pending()) checkpointer_.finish();
  // The checkpoint may be older than an earlier rollback, whose batches stay left out.
  SkippedBatches skipped = state_.skipped_batches;
  skipped.add(rollback.first_batch, rollback.last_batch + 1);
  load(checkpointer_.rewind_to(rollback.step));
  checkpointer_.set_committed_step(state_.step);
  state_.skipped_batches = std::move(skipped);
  schedule_.emplace(session_.config().checkpoint, state_.step);
  last_parity_step_ = std::min(last_parity_step_, state_.step);
  open_metrics();
  if (!is_first_rank()) return;
  metrics_->write(RollbackRecord{state_.step, from_step, rollback.first_batch, rollback.last_batch});
  spdlog::warn(
      "steps {} to {} were skipped: rolling back to step {} (from the checkpoint of step {}), leaving out "
      "batches {} to {}",
      from_step - row + 1, from_step, rollback.step, state_.step, rollback.first_batch, rollback.last_batch);
}

StepRecord Trainer::train_step() {
  const auto start = std::chrono::steady_clock::now();
  const double wait_before = loader_->wait_seconds();
  kernels::Context& context = session_.context();
  const StepShape& shape = session_.shape();
  const auto batch_of_step = static_cast<std::uint64_t>(state_.skipped_batches.batch_of(state_.step));
  place().begin_step(state_.step + 1);
  session_.model().clear_gradients();
  totals_.clear();
  for (const std::int64_t& unit : shape.my_units) {
    const bool last = spans_hosts() && &unit == &shape.my_units.back();
    place().begin_unit(unit);
    place().enter(kernels::Phase::data);
    if (unit < 0) {  // no unit left for this rank: it still serves its experts to the others
      const ConstTensorView none(nullptr, DType::i32, {0, shape.T});
      session_.model().train_unit(context, {none, none}, session_.config().train.recompute, last);
      continue;
    }
    const data::Batch batch = loader_->get(batch_of_step, unit);
    totals_.add(session_.model().train_unit(context, unit_input(batch, shape.B, shape.T),
                                            session_.config().train.recompute, last));
  }
  place().begin_unit(-1);
  place().enter(kernels::Phase::reduce);
  const moe::StepSummary summary = totals_.reduce(session_.world());
  const double rate = moe::learning_rate(session_.config().optimizer, state_.step, steps());
  place().enter(kernels::Phase::update);
  check_parity();
  const moe::UpdateReport update =
      session_.optimizer().step(context, rate, summary.finite, guard_.norm_bound(summary.loss));
  if (update.applied) {
    session_.optimizer().balance(loads_of(summary));
    guard_.accept(summary.loss, update.gradient_norm);
  }

  state_.step += 1;
  state_.samples += session_.config().train.global_batch;
  state_.updates = session_.optimizer().updates();
  state_.skipped_in_a_row = update.applied ? 0 : state_.skipped_in_a_row + 1;
  if (checks_parity_at(state_.step + 1)) parity_.remember();
  StepRecord record = describe_step(summary, update, kernels::seconds_since(start));
  record.learning_rate = rate;
  record.loader_wait_seconds = loader_->wait_seconds() - wait_before;
  return record;
}

bool Trainer::checks_parity_at(std::int64_t step) const {
  const std::int64_t every = session_.config().guard.parity_every;
  return every > 0 && step % every == 0;
}

// Before the update, which would spread a flipped bit of a shard to all ranks and hide one elsewhere.
void Trainer::check_parity() {
  const std::int64_t step = state_.step + 1;
  if (!checks_parity_at(step)) return;
  parity_.check(step, last_parity_step_);
  last_parity_step_ = step - 1;
}

StepRecord Trainer::describe_step(const moe::StepSummary& summary, const moe::UpdateReport& update,
                                  double seconds) const {
  StepRecord record;
  record.step = state_.step;
  record.steps = steps();
  record.tokens = state_.samples * session_.config().data.sequence_length;
  record.summary = summary;
  record.skipped = !update.applied;
  record.spiked = update.spiked;
  record.gradient_norm = update.gradient_norm;
  record.clip_factor = update.clip_factor;
  record.seconds = seconds;
  record.tokens_per_second = static_cast<double>(session_.shape().tokens()) / seconds;
  record.flops_per_second = record.tokens_per_second * flops_per_token_;
  record.utilisation = record.flops_per_second / peak_flops_;
  return record;
}

void Trainer::stop_if_diverged() {
  if (state_.skipped_in_a_row < kMostSkippedSteps) return;
  if (checkpointer_.is_pending()) checkpointer_.finish();
  throw NumericsError(fmt::format(
      "{} steps in a row must not be skipped for a loss or gradient that is not finite or a spike; steps {} "
      "to {} were; lower optimizer.learning_rate or lengthen optimizer.schedule.warmup_steps, and go on from "
      "the last checkpoint in {} or start over with --fresh",
      kMostSkippedSteps, state_.step - kMostSkippedSteps + 1, state_.step, folder_.checkpoints().string()));
}

void Trainer::report(const StepRecord& record) {
  place().enter(kernels::Phase::agree);
  constexpr double kMemory = 0.9;  // of the step time's running mean, for the ETA
  smoothed_step_seconds_ = smoothed_step_seconds_ == 0
                               ? record.seconds
                               : kMemory * smoothed_step_seconds_ + (1 - kMemory) * record.seconds;
  if (!is_first_rank()) return;
  metrics_->write(record);
  if (options_.quiet) return;
  const double eta = smoothed_step_seconds_ * static_cast<double>(steps() - record.step);
  const std::int64_t every = session_.config().train.log_every;
  const bool due = record.step % every == 0 || record.step == 1 || record.step == steps() || record.skipped;
  if (progress_ && due) progress_->clear();
  if (due) spdlog::info("{}", step_line(record, eta));
  if (progress_) progress_->update(record.step, fmt::format("loss {:.4f}", record.summary.loss));
}

void Trainer::evaluate() {
  if (session_.validation_data() == nullptr || last_evaluated_step_ == state_.step) return;
  last_evaluated_step_ = state_.step;
  place().enter(kernels::Phase::evaluate);
  EvaluationRecord record =
      evaluate_split(session_.context(), session_.model(), session_.world(), *session_.validation_data(),
                     session_.shape(), session_.config().train.evaluate_batches);
  record.step = state_.step;
  if (!is_first_rank()) return;
  metrics_->write(record);
  if (progress_) progress_->clear();
  if (!options_.quiet)
    spdlog::info("step {}: held-out loss {:.4f} nats per token, perplexity {:.3f}, on {} tokens in {}",
                 record.step, record.loss, record.perplexity, record.tokens, format_duration(record.seconds));
}

void Trainer::save() {
  place().enter(kernels::Phase::save);
  guard_.store(state_);
  const data::State state = to_manifest(state_, session_.config());
  checkpointer_.start(session_.context(), state_.step, session_.optimizer().owned_state(), state,
                      continuation_keys(state), config_digest(session_.config()));
  if (!checkpointer_.is_pending()) schedule_->note_failed(state_.step);
}

// Commits or abandons, and decides when the next one is due: the same on all ranks, by what the first one
// measured.
void Trainer::conclude_save() {
  if (!checkpointer_.finish()) {
    schedule_->note_failed(state_.step);
    return;
  }
  schedule_->note_saved(checkpointer_.last_committed_step());
  if (!schedule_->is_automatic()) return;
  std::int64_t interval = best_interval_steps(
      checkpointer_.last_blocked_seconds(),
      static_cast<double>(session_.config().checkpoint.failure_interval_seconds), smoothed_step_seconds_);
  session_.world().broadcast(std::as_writable_bytes(std::span(&interval, 1)), 0);
  if (is_first_rank() && interval != schedule_->interval())
    spdlog::info(
        "a save holds training up for {}: the next checkpoint comes after {} steps (checkpoint.every fixes "
        "it)",
        format_duration(checkpointer_.last_blocked_seconds()), interval);
  schedule_->set_interval(interval);
}

void Trainer::save_and_wait() {
  save();
  if (checkpointer_.is_pending()) conclude_save();
}

void Trainer::save_if_due() {
  // A state that may have diverged must not push older ones out of the folder.
  if (state_.skipped_in_a_row > 0) return;
  if (!schedule_->is_due(state_.step) || state_.step == steps()) return;
  if (checkpointer_.is_pending()) conclude_save();
  save();
  if (!session_.config().checkpoint.background && checkpointer_.is_pending()) conclude_save();
}

Trainer::Stop Trainer::agreed_stop(double step_seconds) {
  place().enter(kernels::Phase::agree);
  const int signal = StopSignals::received();
  Stop own = Stop::none;
  if (deadline_.is_near(step_seconds, checkpointer_.last_save_seconds())) own = Stop::time_limit;
  if (signal != 0) own = Stop::signal;
  std::int64_t words[2] = {static_cast<std::int64_t>(own), checkpointer_.is_busy() ? 1 : 0};
  session_.world().all_reduce_max(words);
  if (checkpointer_.is_pending() && words[1] == 0) {
    place().enter(kernels::Phase::save);
    conclude_save();
  }
  const auto agreed = static_cast<Stop>(words[0]);
  if (agreed != Stop::none && is_first_rank())
    spdlog::warn("stopping after step {}: {}", state_.step,
                 agreed == Stop::time_limit ? "the time limit is near"
                 : signal != 0              ? signal_name(signal) + " came"
                                            : "a rank got a signal");
  return agreed;
}

int Trainer::finish() {
  place().enter(kernels::Phase::save);
  if (checkpointer_.is_pending()) checkpointer_.finish();
  const bool stopped_early = state_.step < steps();
  if (!stopped_early) evaluate();
  if (checkpointer_.last_committed_step() != state_.step) {
    save_and_wait();
    if (checkpointer_.last_committed_step() != state_.step)
      throw DiskError(fmt::format("the last checkpoint could not be written: {}; earlier ones are in {}",
                                  checkpointer_.last_failure(), folder_.checkpoints().string()));
  }
  place().enter(kernels::Phase::exit);
  if (progress_) progress_->finish();
  if (is_first_rank() && !options_.quiet) {
    log_costs(session_.context().trace());
    if (state_.updates != state_.step)
      spdlog::warn("{} of {} steps were skipped: their loss or gradient was not finite or a spike",
                   state_.step - state_.updates, state_.step);
    if (stopped_early)
      spdlog::info("stopped at step {} of {}; the same command goes on from there", state_.step, steps());
    else
      spdlog::info("done: {} steps; everything is in {}", state_.step, folder_.root.string());
  }
  return stopped_early ? kExitResumable : kExitDone;
}

}  // namespace switchyard::app
