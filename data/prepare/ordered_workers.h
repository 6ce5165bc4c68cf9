// Threads that work on jobs side by side and give the results back in the order of the jobs.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace switchyard::data {

/// Results depend on the jobs alone, never on the number of threads. One thread submits and takes.
template <typename Job, typename Result>
class OrderedWorkers {
 public:
  OrderedWorkers(int threads, std::function<Result(const Job&)> work) : work_(std::move(work)) {
    for (int thread = 0; thread < threads; ++thread) threads_.emplace_back([this] { run(); });
  }
  /// Drops the jobs not begun and waits for the others.
  ~OrderedWorkers() {
    {
      const std::lock_guard lock(mutex_);
      is_stopped_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  OrderedWorkers(const OrderedWorkers&) = delete;
  OrderedWorkers& operator=(const OrderedWorkers&) = delete;

  void submit(Job job) {
    const std::lock_guard lock(mutex_);
    slots_.push_back(std::make_shared<Slot>(std::move(job)));
    waiting_.push_back(slots_.back());
    changed_.notify_all();
  }
  /// Jobs submitted and not yet taken.
  std::size_t pending() const { return slots_.size(); }
  /// The result of the oldest job; throws what its work threw. At least one job must be pending.
  Result take() {
    std::unique_lock lock(mutex_);
    const std::shared_ptr<Slot> slot = slots_.front();
    changed_.wait(lock, [&] { return slot->is_done; });
    slots_.pop_front();
    if (slot->error) std::rethrow_exception(slot->error);
    return std::move(slot->result);
  }

 private:
  struct Slot {
    explicit Slot(Job given) : job(std::move(given)) {}
    Job job;
    Result result{};
    std::exception_ptr error;
    bool is_done = false;
  };

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return is_stopped_ || !waiting_.empty(); });
      if (is_stopped_) return;
      const std::shared_ptr<Slot> slot = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      try {
        slot->result = work_(slot->job);
      } catch (...) {
        slot->error = std::current_exception();
      }
      lock.lock();
      slot->is_done = true;
      changed_.notify_all();
    }
  }

  std::function<Result(const Job&)> work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> slots_;    // in the order of submission; the submitter's own
  std::deque<std::shared_ptr<Slot>> waiting_;  // not yet begun
  bool is_stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace switchyard::data
