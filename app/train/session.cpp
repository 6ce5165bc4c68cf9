#include "app/train/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/config/rules.h"
#include "app/train/memory_plan.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/threads.h"

namespace switchyard::app {

namespace {

int threads_per_rank(const Config& config, int ranks_on_host) {
  if (config.run.threads > 0) return static_cast<int>(config.run.threads);
  return std::max(1, kernels::available_cores() / std::max(1, ranks_on_host));
}

// Before anything is asked of a device.
parallel::Communicator& with_checked_layout(const Config& config, parallel::Communicator& world) {
  check_layout(config, world.size());
  return world;
}

std::unique_ptr<data::TokenDataset> open_validation(const Config& config, const data::TokenDataset& train) {
  if (config.train.evaluate_every == 0) return nullptr;
  const std::string& folder = config.data.validation.empty() ? config.data.train : config.data.validation;
  auto dataset = std::make_unique<data::TokenDataset>(folder, "validation", train.tokenizer_digest());
  if (dataset->num_windows(config.data.sequence_length) == 0)
    throw DataError(
        fmt::format("{}: the held-out split has {} tokens, fewer than one sequence of {}; prepare with a "
                    "larger held-out share, lower data.sequence_length, or set train.evaluate_every: 0",
                    folder, dataset->num_tokens(), config.data.sequence_length));
  return dataset;
}

moe::ModelLimits model_limits(const Config& config, const StepShape& shape) {
  return {shape.units, shape.B * shape.T, config.model.max_sequence_length, config.parallel.exchange_rows};
}

}  // namespace

StepShape step_shape(const Config& config, int rank, int ranks) {
  StepShape shape;
  shape.B = config.train.micro_batch;
  shape.T = config.data.sequence_length;
  shape.units = config.train.global_batch / config.train.micro_batch;
  for (std::int64_t first = 0; first < shape.units; first += ranks) {
    const std::int64_t unit = first + rank;
    shape.my_units.push_back(unit < shape.units ? unit : -1);
  }
  return shape;
}

Session::Session(Config config, parallel::Communicator& ranks, const parallel::HostPlace& place)
    : config_(std::move(config)),
      ranks_(with_checked_layout(config_, ranks)),
      context_(threads_per_rank(config_, place.ranks_on_host), kernels::chosen_isa(),
               choose_device(config_.run.device, place.rank_on_host)),
      device_world_(open_device_world(config_.watchdog, ranks_, context_, place.host)),
      world_(device_world_.communicator ? *device_world_.communicator : ranks_) {
  train_data_ = std::make_unique<data::TokenDataset>(config_.data.train, "train");
  if (train_data_->num_windows(config_.data.sequence_length) == 0)
    throw DataError(
        fmt::format("{}: {} tokens are fewer than one sequence of {}; prepare more text or lower "
                    "data.sequence_length",
                    config_.data.train, train_data_->num_tokens(), config_.data.sequence_length));
  const auto vocab = static_cast<std::int64_t>(train_data_->vocab_size());
  if (config_.model.vocab_size != 0 && config_.model.vocab_size < vocab)
    throw UserError(
        fmt::format("model.vocab_size must be at least the {} of {}; got {}; set it to 0 to take the data's",
                    vocab, config_.data.train, config_.model.vocab_size));
  if (config_.model.vocab_size == 0) config_.model.vocab_size = vocab;
  validation_data_ = open_validation(config_, *train_data_);
  shape_ = step_shape(config_, world_.rank(), world_.size());
  mesh_ = std::make_unique<parallel::Mesh>(world_, static_cast<int>(config_.parallel.expert),
                                           config_.model.moe.experts);
  try {
    model_ = std::make_unique<moe::Model>(context_, config_.model, *mesh_, model_limits(config_, shape_),
                                          static_cast<std::uint64_t>(config_.run.seed));
    optimizer_ = std::make_unique<moe::Optimizer>(*model_, *mesh_, config_.optimizer, shape_.units);
  } catch (const kernels::OutOfMemory& error) {
    throw DeviceError(out_of_memory_text(config_, world_.size(), error, 0));
  }
}

std::unique_ptr<data::BatchLoader> Session::loader(std::int64_t first_step) const {
  data::BatchLoader::Options options;
  options.shape = {shape_.T, shape_.B, shape_.units};
  for (const std::int64_t unit : shape_.my_units)
    if (unit >= 0) options.units.push_back(unit);
  options.first_step = static_cast<std::uint64_t>(first_step);
  options.read_ahead = config_.data.prefetch;
  const data::SampleOrder order(static_cast<std::uint64_t>(config_.run.seed),
                                train_data_->num_windows(shape_.T));
  return std::make_unique<data::BatchLoader>(*train_data_, order, std::move(options));
}

}  // namespace switchyard::app
