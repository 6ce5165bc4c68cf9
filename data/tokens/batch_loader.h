// Batches of training windows, read ahead by one thread. The loader is a cache of read_batch, a pure
// function: what it gives never depends on timing, on how far it reads ahead or on the order of requests.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "data/tokens/sample_order.h"
#include "data/tokens/token_dataset.h"

namespace switchyard::data {

struct BatchShape {
  std::int64_t sequence_length = 0;  // T
  std::int64_t micro_batch = 0;      // B
  std::int64_t units_per_step = 0;   // U
};

struct Batch {
  std::uint64_t step = 0;
  std::int64_t unit = 0;
  std::vector<std::int32_t> inputs;   // (B, T)
  std::vector<std::int32_t> targets;  // (B, T)
};

/// Unit `unit` of step `step`. Throws DataError where a shard is damaged, InternalError for a unit out of
/// range.
Batch read_batch(const TokenDataset& dataset, const SampleOrder& order, const BatchShape& shape,
                 std::uint64_t step, std::int64_t unit);

class BatchLoader {
 public:
  struct Options {
    BatchShape shape;
    std::vector<std::int64_t> units;  // the units of each step that will be asked for, in the order of asking
    std::uint64_t first_step = 0;
    std::int64_t read_ahead = 4;  // batches held ready; 0 reads on request, without a thread
  };

  /// `dataset` must outlive the loader. The order must be of the dataset's windows of T tokens.
  BatchLoader(const TokenDataset& dataset, const SampleOrder& order, Options options);
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  /// The batch of (step, unit); fastest in the order of Options, correct in any. For one consumer thread. An
  /// error of the reading thread is thrown by the call that asks for the batch it happened in; asking again
  /// reads again.
  Batch get(std::uint64_t step, std::int64_t unit);

  /// Seconds that get() has made its caller wait so far, and the number of calls.
  double wait_seconds() const { return wait_seconds_; }
  std::uint64_t num_batches() const { return num_batches_; }

 private:
  struct Position {
    std::uint64_t step = 0;
    std::size_t index = 0;  // into units
    bool operator==(const Position&) const = default;
  };
  struct Slot {
    Batch batch;
    std::exception_ptr error;
  };
  Position after(Position position) const;
  void restart_at(Position position);
  void read_ahead();
  Batch take(Position position);

  const TokenDataset& dataset_;
  SampleOrder order_;
  Options options_;
  // The consumer's own.
  Position expected_;
  double wait_seconds_ = 0;
  std::uint64_t num_batches_ = 0;
  // Shared, under mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Slot> ready_;
  Position cursor_;               // what the thread reads next
  std::uint64_t generation_ = 0;  // counts restarts: a batch read for an older one is dropped
  bool is_stopped_ = false;
  bool has_failed_ = false;
  std::thread thread_;
};

}  // namespace switchyard::data
