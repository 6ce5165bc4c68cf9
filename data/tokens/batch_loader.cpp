#include "data/tokens/batch_loader.h"

#include <algorithm>
#include <chrono>

#include "kernels/runtime/check.h"

namespace switchyard::data {

Batch read_batch(const TokenDataset& dataset, const SampleOrder& order, const BatchShape& shape,
                 std::uint64_t step, std::int64_t unit) {
  Batch batch{step, unit, {}, {}};
  const auto length = static_cast<std::size_t>(shape.sequence_length);
  const std::size_t size = static_cast<std::size_t>(shape.micro_batch) * length;
  batch.inputs.resize(size);
  batch.targets.resize(size);
  for (std::int64_t b = 0; b < shape.micro_batch; ++b) {
    const std::uint64_t sample = sample_index(step, unit, b, shape.units_per_step, shape.micro_batch);
    const std::size_t row = static_cast<std::size_t>(b) * length;
    dataset.window(order.window(sample), shape.sequence_length, batch.inputs.data() + row,
                   batch.targets.data() + row);
  }
  return batch;
}

BatchLoader::BatchLoader(const TokenDataset& dataset, const SampleOrder& order, Options options)
    : dataset_(dataset), order_(order), options_(std::move(options)) {
  const BatchShape& shape = options_.shape;
  SWITCHYARD_CHECK(shape.sequence_length > 0 && shape.micro_batch > 0 && shape.units_per_step > 0,
                   "batches of {} sequences x {} tokens, {} a step", shape.micro_batch, shape.sequence_length,
                   shape.units_per_step);
  SWITCHYARD_CHECK(order_.num_windows() == dataset_.num_windows(shape.sequence_length),
                   "an order of {} windows over a data set of {}", order_.num_windows(),
                   dataset_.num_windows(shape.sequence_length));
  for (const std::int64_t unit : options_.units)
    SWITCHYARD_CHECK(unit >= 0 && unit < shape.units_per_step, "unit {} of {}", unit, shape.units_per_step);
  expected_ = cursor_ = {options_.first_step, 0};
  if (options_.read_ahead > 0 && !options_.units.empty()) thread_ = std::thread([this] { read_ahead(); });
}

BatchLoader::~BatchLoader() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

BatchLoader::Position BatchLoader::after(Position position) const {
  if (++position.index == options_.units.size()) return {position.step + 1, 0};
  return position;
}

void BatchLoader::read_ahead() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] {
      return is_stopped_ || (!has_failed_ && ready_.size() < static_cast<std::size_t>(options_.read_ahead));
    });
    if (is_stopped_) return;
    const Position position = cursor_;
    const std::uint64_t generation = generation_;
    lock.unlock();
    Slot slot;
    try {
      slot.batch =
          read_batch(dataset_, order_, options_.shape, position.step, options_.units[position.index]);
    } catch (...) {
      slot.error = std::current_exception();
    }
    lock.lock();
    if (generation != generation_) continue;
    has_failed_ = slot.error != nullptr;
    cursor_ = after(position);
    ready_.push_back(std::move(slot));
    changed_.notify_all();
  }
}

void BatchLoader::restart_at(Position position) {
  ready_.clear();
  ++generation_;
  has_failed_ = false;
  cursor_ = expected_ = position;
  changed_.notify_all();
}

Batch BatchLoader::take(Position position) {
  std::unique_lock lock(mutex_);
  if (position != expected_) restart_at(position);
  changed_.wait(lock, [&] { return !ready_.empty(); });
  Slot slot = std::move(ready_.front());
  ready_.pop_front();
  if (slot.error) {
    restart_at(position);
    lock.unlock();
    std::rethrow_exception(slot.error);
  }
  expected_ = after(position);
  changed_.notify_all();
  return std::move(slot.batch);
}

Batch BatchLoader::get(std::uint64_t step, std::int64_t unit) {
  const auto begin = std::chrono::steady_clock::now();
  const auto found = std::find(options_.units.begin(), options_.units.end(), unit);
  Batch batch = thread_.joinable() && found != options_.units.end()
                    ? take({step, static_cast<std::size_t>(found - options_.units.begin())})
                    : read_batch(dataset_, order_, options_.shape, step, unit);
  wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  ++num_batches_;
  return batch;
}

}  // namespace switchyard::data
