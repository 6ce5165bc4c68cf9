#include "data/checkpoint/save/background_saver.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "kernels/runtime/error.h"

namespace switchyard::data {

BackgroundSaver::BackgroundSaver() : thread_([this] { run(); }) {}

BackgroundSaver::~BackgroundSaver() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundSaver::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return job_ || is_ending_; });
    if (!job_) return;
    auto job = std::exchange(job_, nullptr);
    lock.unlock();
    const auto begin = std::chrono::steady_clock::now();
    std::exception_ptr failure;
    try {
      job();
    } catch (...) {
      failure = std::current_exception();
    }
    job = nullptr;  // frees the snapshot before the next one is taken
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    lock.lock();
    failure_ = std::move(failure);
    last_seconds_ = taken.count();
    is_busy_ = false;
    changed_.notify_all();
  }
}

void BackgroundSaver::throw_failure(std::unique_lock<std::mutex>& lock) {
  if (is_busy_ || !failure_) return;
  const auto failure = std::exchange(failure_, nullptr);
  lock.unlock();
  std::rethrow_exception(failure);
}

void BackgroundSaver::start(std::function<void()> job) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !is_busy_; });
  throw_failure(lock);
  job_ = std::move(job);
  is_busy_ = true;
  changed_.notify_all();
}

void BackgroundSaver::check() {
  std::unique_lock lock(mutex_);
  throw_failure(lock);
}

void BackgroundSaver::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !is_busy_; });
  throw_failure(lock);
}

bool BackgroundSaver::is_busy() const {
  const std::lock_guard lock(mutex_);
  return is_busy_;
}

double BackgroundSaver::last_seconds() const {
  const std::lock_guard lock(mutex_);
  return last_seconds_;
}

double best_save_interval_seconds(double cost_seconds, double mtbf_seconds) {
  const auto is_good = [](double value) { return std::isfinite(value) && value > 0; };
  if (!is_good(cost_seconds) || !is_good(mtbf_seconds))
    throw UserError(
        fmt::format("checkpoint: the cost of a save and the time between failures must be positive "
                    "seconds; got {} and {}",
                    cost_seconds, mtbf_seconds));
  return std::sqrt(2 * cost_seconds * mtbf_seconds);
}

}  // namespace switchyard::data
