#include "app/train/trainer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <span>

#include "app/exit_code.h"
#include "app/metrics/step_line.h"
#include "app/terminal/format.h"
#include "app/train/evaluation.h"
#include "app/train/start_up.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/real_io.h"
#include "moe/model/cost.h"
#include "moe/optim/schedule.h"

namespace switchyard::app {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

moe::Recompute recompute_of(const Config& config) {
  return config.train.recompute == Recompute::block ? moe::Recompute::block : moe::Recompute::none;
}

}  // namespace

int run_training(const Config& config, parallel::Communicator& world, const TrainOptions& options) {
  const StopSignals signals;
  data::RealIo io;
  Session session(config, world, options.ranks_on_host);
  Trainer trainer(session, io, options);
  return trainer.run();
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
    const std::int64_t every = session_.config().train.evaluate_every;
    if (every > 0 && state_.step % every == 0) evaluate();
    save_if_due();
    stop = agreed_stop(record.seconds);
  }
  return finish(stop);
}

void Trainer::resume_or_start() {
  if (options_.fresh) checkpointer_.discard_all();
  const auto checkpoint = checkpointer_.newest();
  if (checkpoint) {
    state_ = from_manifest(data::read_manifest(io_, *checkpoint));
    check_can_resume(state_, session_.config(), session_.data_digest());
    load_slices(io_, *checkpoint, session_.optimizer().needed_state());
    session_.optimizer().set_updates(state_.updates);
    checkpointer_.set_committed_step(state_.step);
  }
  peak_flops_ = measured_peak(session_);
  loader_ = session_.loader(state_.step);
  if (is_first_rank()) {
    write_resolved_config(session_, folder_);
    metrics_ =
        std::make_unique<MetricsFile>(folder_.metrics(), state_.step, session_.config().metrics.per_expert);
    last_evaluated_step_ = metrics_->last_evaluated_step();
  }
  session_.world().all_reduce_max(std::span(&last_evaluated_step_, 1));
  if (!is_first_rank() || options_.quiet) return;
  log_start(session_, folder_, state_, peak_flops_);
  if (const ProgressOutput output = stderr_progress(); output.redraw)
    progress_ = std::make_unique<Progress>(ProgressOptions{"train", "steps", steps(), state_.step}, output);
}

StepRecord Trainer::train_step() {
  const auto start = std::chrono::steady_clock::now();
  const double wait_before = loader_->wait_seconds();
  kernels::Context& context = session_.context();
  const StepShape& shape = session_.shape();
  session_.model().clear_gradients();
  totals_.clear();
  for (const std::int64_t& unit : shape.my_units) {
    const bool last = spans_hosts() && &unit == &shape.my_units.back();
    if (unit < 0) {  // no unit left for this rank: it still serves its experts to the others
      const ConstTensorView none(nullptr, DType::i32, {0, shape.T});
      session_.model().train_unit(context, {none, none}, recompute_of(session_.config()), last);
      continue;
    }
    const data::Batch batch = loader_->get(static_cast<std::uint64_t>(state_.step), unit);
    totals_.add(session_.model().train_unit(context, unit_input(batch, shape.B, shape.T),
                                            recompute_of(session_.config()), last));
  }
  const moe::StepSummary summary = totals_.reduce(session_.world());
  const double rate = moe::learning_rate(session_.config().optimizer, state_.step, steps());
  const moe::UpdateReport update = session_.optimizer().step(context, rate, summary.finite);
  if (update.applied) session_.optimizer().balance(loads_of(summary));

  state_.step += 1;
  state_.samples += session_.config().train.global_batch;
  state_.updates = session_.optimizer().updates();
  skipped_in_a_row_ = update.applied ? 0 : skipped_in_a_row_ + 1;
  return describe_step(summary, update, seconds_since(start), loader_->wait_seconds() - wait_before);
}

StepRecord Trainer::describe_step(const moe::StepSummary& summary, const moe::UpdateReport& update,
                                  double seconds, double wait_seconds) {
  StepRecord record;
  record.step = state_.step;
  record.steps = steps();
  record.tokens = state_.samples * session_.config().data.sequence_length;
  record.summary = summary;
  record.skipped = !update.applied;
  record.gradient_norm = update.gradient_norm;
  record.clip_factor = update.clip_factor;
  record.learning_rate = moe::learning_rate(session_.config().optimizer, state_.step - 1, steps());
  record.seconds = seconds;
  record.loader_wait_seconds = wait_seconds;
  record.tokens_per_second = static_cast<double>(session_.shape().tokens()) / seconds;
  record.flops_per_second = record.tokens_per_second * flops_per_token_;
  record.utilisation = peak_flops_ > 0 ? record.flops_per_second / peak_flops_ : 0;
  return record;
}

void Trainer::stop_if_diverged() {
  if (skipped_in_a_row_ < kMostSkippedSteps) return;
  if (checkpointer_.is_pending()) checkpointer_.finish();
  throw NumericsError(fmt::format(
      "{} steps in a row must not be without a finite loss and gradient; steps {} to {} were; lower "
      "optimizer.learning_rate or lengthen optimizer.schedule.warmup_steps, and go on from the last "
      "checkpoint in {} or start over with --fresh",
      kMostSkippedSteps, state_.step - kMostSkippedSteps + 1, state_.step, folder_.checkpoints().string()));
}

void Trainer::report(const StepRecord& record) {
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
  checkpointer_.start(state_.step, session_.optimizer().owned_state(), to_manifest(state_, session_.config()),
                      continuation_keys(), config_digest(session_.config()));
}

void Trainer::save_if_due() {
  // A state that may have diverged must not push older ones out of the folder.
  if (skipped_in_a_row_ > 0) return;
  const CheckpointConfig& config = session_.config().checkpoint;
  if (config.every == 0 || state_.step % config.every != 0 || state_.step == steps()) return;
  save();
  if (!config.background && checkpointer_.is_pending()) checkpointer_.finish();
}

Trainer::Stop Trainer::agreed_stop(double step_seconds) {
  const int signal = StopSignals::received();
  Stop own = Stop::none;
  if (deadline_.is_near(step_seconds, checkpointer_.last_save_seconds())) own = Stop::time_limit;
  if (signal != 0) own = Stop::signal;
  std::int64_t words[2] = {static_cast<std::int64_t>(own), checkpointer_.is_busy() ? 1 : 0};
  session_.world().all_reduce_max(words);
  if (checkpointer_.is_pending() && words[1] == 0) checkpointer_.finish();
  const auto agreed = static_cast<Stop>(words[0]);
  if (agreed != Stop::none && is_first_rank())
    spdlog::warn("stopping after step {}: {}", state_.step,
                 agreed == Stop::time_limit ? "the time limit is near"
                 : signal != 0              ? signal_name(signal) + " came"
                                            : "a rank got a signal");
  return agreed;
}

int Trainer::finish(Stop stop) {
  if (checkpointer_.is_pending()) checkpointer_.finish();
  const bool stopped_early = state_.step < steps();
  if (!stopped_early) evaluate();
  if (checkpointer_.last_committed_step() != state_.step) {
    save();
    if (checkpointer_.is_pending()) checkpointer_.finish();
    if (checkpointer_.last_committed_step() != state_.step)
      throw DiskError(fmt::format("the last checkpoint could not be written: {}; earlier ones are in {}",
                                  checkpointer_.last_failure(), folder_.checkpoints().string()));
  }
  if (progress_) progress_->finish();
  if (is_first_rank() && !options_.quiet) {
    log_costs(session_.context().trace());
    if (state_.updates != state_.step)
      spdlog::warn("{} of {} steps were skipped: their loss or gradient was not finite",
                   state_.step - state_.updates, state_.step);
    if (stop != Stop::none && stopped_early)
      spdlog::info("stopped at step {} of {}; the same command goes on from there", state_.step, steps());
    else
      spdlog::info("done: {} steps; everything is in {}", state_.step, folder_.root.string());
  }
  return stop != Stop::none && stopped_early ? kExitResumable : kExitDone;
}

}  // namespace switchyard::app
