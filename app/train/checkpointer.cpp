#include "app/train/checkpointer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>

#include "app/terminal/format.h"
#include "app/train/messages.h"
#include "data/checkpoint/keep/remove.h"
#include "data/checkpoint/keep/retention.h"
#include "data/checkpoint/load/verify.h"
#include "data/checkpoint/save/attempt.h"
#include "kernels/runtime/clock.h"
#include "kernels/runtime/transfer.h"

namespace switchyard::app {

Checkpointer::Checkpointer(parallel::Communicator& world, data::Io& io, std::filesystem::path folder,
                           std::string run, const CheckpointConfig& config, data::RunLockOptions lock)
    : world_(world), io_(io), folder_(std::move(folder)), run_(std::move(run)), config_(config) {
  if (world_.rank() == 0) {
    lock_ = std::make_unique<data::RunLock>(io_, folder_, std::move(lock));
    for (const std::string& name : data::clean_abandoned(io_, *lock_))
      spdlog::info("cleared {}: left by a save or deletion that died", name);
  }
  world_.barrier();
}

Checkpointer::~Checkpointer() {
  // Without agreement a save under way cannot be committed; its folder is cleared at the next start.
  try {
    saver_.wait();
  } catch (const std::exception&) {  // the run is ending for another reason, which is the one to report
  }
}

void Checkpointer::discard_all() {
  if (world_.rank() == 0) {
    for (const auto& candidate : data::list_checkpoints(io_, folder_).candidates)
      data::withdraw(io_, candidate.path, "fresh");
  }
  world_.barrier();
}

std::optional<std::filesystem::path> Checkpointer::newest() {
  std::string path, refusal;
  if (world_.rank() == 0) {
    const data::Newest found = data::find_newest(io_, folder_, {.run = run_, .check_digests = true});
    for (const data::Rejection& rejection : found.rejections)
      spdlog::warn("checkpoint passed over: {}", rejection.text());
    if (found.checkpoint) {
      path = found.checkpoint->path.string();
      verified_steps_.insert(found.checkpoint->step);
    }
    if (!found.checkpoint && found.num_candidates > 0)
      refusal = fmt::format(
          "{}: none of its {} checkpoint(s) can be used; {}; put back a whole one, take another "
          "run.directory, or start over with --fresh, which deletes them",
          folder_.string(), found.num_candidates, found.rejections.front().text());
  }
  path = broadcast_text(world_, path);
  refusal = broadcast_text(world_, refusal);
  if (!refusal.empty()) throw CheckpointError(refusal);
  if (path.empty()) return std::nullopt;
  return path;
}

std::filesystem::path Checkpointer::rewind_to(std::int64_t step) {
  std::string path, refusal;
  if (world_.rank() == 0) {
    try {
      const data::Newest found =
          data::find_newest(io_, folder_, {.run = run_, .check_digests = true, .newest_step = step});
      if (!found.checkpoint)
        throw CheckpointError(
            fmt::format("{}: a rollback needs a checkpoint of step {} or before, and none is whole; raise "
                        "checkpoint.keep or lower "
                        "guard.rollback_steps",
                        folder_.string(), step));
      for (const auto& candidate : data::list_checkpoints(io_, folder_).candidates)
        if (candidate.step > step) data::withdraw(io_, candidate.path, "rollback");
      path = found.checkpoint->path.string();
    } catch (const Error& error) {
      refusal = error.what();
    }
  }
  path = broadcast_text(world_, path);
  refusal = broadcast_text(world_, refusal);
  if (!refusal.empty()) throw CheckpointError(refusal);
  return path;
}

bool Checkpointer::is_busy() const {
  return pending_.has_value() && saver_.is_busy();
}

void Checkpointer::note_failure(const std::string& cause, std::int64_t step) {
  last_failure_ = cause;
  if (world_.rank() == 0)
    spdlog::warn("checkpoint of step {} abandoned: {}. Training goes on; earlier checkpoints are untouched",
                 step, cause);
}

namespace {

std::vector<data::TensorSlice> in_place(const std::vector<moe::StateSlice>& slices) {
  std::vector<data::TensorSlice> result;
  for (const moe::StateSlice& slice : slices)
    result.push_back({slice.name, slice.dtype, slice.shape, slice.begin, slice.end, slice.data});
  return result;
}

void take_room(const std::vector<moe::StateSlice>& slices, std::vector<kernels::Buffer>& copies) {
  copies.resize(slices.size());
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const std::size_t bytes = slices[i].values().bytes();
    if (copies[i].bytes() != bytes) copies[i] = kernels::Buffer(bytes);
  }
}

// Copies of what the slices show, so that training can change the originals.
std::vector<data::TensorSlice> copied(kernels::Context& context, const std::vector<moe::StateSlice>& slices,
                                      std::vector<kernels::Buffer>& copies) {
  std::vector<data::TensorSlice> result;
  take_room(slices, copies);
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const moe::StateSlice& slice = slices[i];
    kernels::copy(context, {copies[i].data(), slice.dtype, {slice.end - slice.begin}}, slice.values());
    result.push_back({slice.name, slice.dtype, slice.shape, slice.begin, slice.end, copies[i].data()});
  }
  return result;
}

std::string fresh_nonce() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

// The first text that is not empty.
std::string first_cause(const std::vector<std::string>& causes) {
  for (std::size_t rank = 0; rank < causes.size(); ++rank)
    if (!causes[rank].empty())
      return causes.size() > 1 ? fmt::format("rank {}: {}", rank, causes[rank]) : causes[rank];
  return {};
}

}  // namespace

void Checkpointer::reserve(const std::vector<moe::StateSlice>& slices) {
  if (!config_.background) return;
  take_room(slices, snapshot_);
  for (const kernels::Buffer& copy : snapshot_)
    if (copy.bytes() > 0) std::memset(copy.data(), 0, copy.bytes());  // it is given where it is written
}

bool Checkpointer::begin(Pending& pending) {
  std::int64_t bytes = data::part_file_bytes(pending.slices);
  world_.all_reduce_sum(std::span(&bytes, 1));
  std::string attempt, cause;
  if (world_.rank() == 0) {
    try {
      const data::AttemptSpec spec{pending.step, fmt::format("pid{}", getpid()), fresh_nonce(), bytes};
      attempt = data::begin_attempt(io_, folder_, spec).string();
    } catch (const Error& error) {
      cause = error.what();
    }
  }
  attempt = broadcast_text(world_, attempt);
  cause = broadcast_text(world_, cause);
  if (!cause.empty()) note_failure(cause, pending.step);
  pending.attempt = attempt;
  return cause.empty();
}

void Checkpointer::start(kernels::Context& context, std::int64_t step,
                         const std::vector<moe::StateSlice>& slices, const data::State& state,
                         const std::vector<std::string>& continuation, const std::string& config_digest) {
  if (pending_) finish();
  const auto begun = std::chrono::steady_clock::now();
  Pending pending;
  pending.step = step;
  pending.state = state;
  pending.continuation = continuation;
  pending.config_digest = config_digest;
  const bool on_device =
      std::ranges::any_of(slices, [](const auto& slice) { return slice.device != Device::cpu; });
  pending.slices = config_.background || on_device ? copied(context, slices, snapshot_) : in_place(slices);
  if (!begin(pending)) return;
  pending_ = std::move(pending);
  if (config_.background)
    write_in_background();
  else
    write_now();
  blocked_seconds_ = kernels::seconds_since(begun);
}

void Checkpointer::write_in_background() {
  saver_.start([this] {
    pending_->record = data::write_part(io_, pending_->attempt, world_.rank(), pending_->slices);
  });
}

void Checkpointer::write_now() {
  const auto begun = std::chrono::steady_clock::now();
  try {
    pending_->record = data::write_part(io_, pending_->attempt, world_.rank(), pending_->slices);
  } catch (const Error& error) {
    pending_->failure = error.what();
  }
  last_save_seconds_ = kernels::seconds_since(begun);
}

bool Checkpointer::finish() {
  const auto begun = std::chrono::steady_clock::now();
  const bool committed = conclude();
  blocked_seconds_ += kernels::seconds_since(begun);
  return committed;
}

bool Checkpointer::conclude() {
  std::string cause = pending_->failure;
  if (config_.background) {
    try {
      saver_.wait();
    } catch (const std::exception& error) {
      cause = error.what();
    }
    last_save_seconds_ = saver_.last_seconds();
  }
  Pending pending = std::move(*pending_);
  pending_.reset();
  cause = first_cause(gather_texts(world_, cause));
  if (!cause.empty()) {
    if (world_.rank() == 0) data::abandon(io_, pending.attempt);
    note_failure(cause, pending.step);
    return false;
  }
  return commit(pending);
}

bool Checkpointer::commit(Pending& pending) {
  const std::vector<std::string> records = gather_texts(world_, pending.record->text());
  std::string cause;
  if (world_.rank() == 0) {
    try {
      if (lock_->is_lost())
        throw CheckpointError(
            fmt::format("another run has taken over {}; stop one of the two", folder_.string()));
      std::vector<data::PartRecord> parts;
      for (const std::string& text : records) parts.push_back(data::PartRecord::parse(text));
      data::commit(io_, pending.attempt,
                   {pending.step, run_, pending.config_digest, pending.state, pending.continuation}, parts);
      std::int64_t bytes = 0;
      for (const data::PartRecord& part : parts) bytes += part.file.size_bytes;
      spdlog::info("checkpoint of step {}: {} in {}", pending.step, format_bytes(bytes),
                   format_duration(last_save_seconds_));
    } catch (const Error& error) {
      data::abandon(io_, pending.attempt);
      cause = error.what();
    }
  }
  cause = broadcast_text(world_, cause);
  if (!cause.empty()) {
    note_failure(cause, pending.step);
    return false;
  }
  last_committed_step_ = pending.step;
  last_failure_.clear();
  if (world_.rank() == 0) {
    try {
      data::RetentionPolicy policy;
      policy.keep = static_cast<int>(config_.keep);
      policy.keep_every = config_.keep_every;
      policy.run = run_;
      policy.verified_steps = verified_steps_;
      policy.verified_steps.insert(pending.step);
      const data::RetentionReport report = data::apply_retention(io_, folder_, policy);
      verified_steps_ = {report.kept.begin(), report.kept.end()};
    } catch (const Error& error) {
      spdlog::warn("old checkpoints could not be deleted: {}", error.what());
    }
  }
  return true;
}

}  // namespace switchyard::app
