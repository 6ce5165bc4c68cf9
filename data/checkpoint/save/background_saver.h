// Saves that run beside the training loop, one at a time, and how often to save.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace switchyard::data {

/// One thread, one job at a time. The job owns a snapshot of what it writes. Call from one thread.
class BackgroundSaver {
 public:
  BackgroundSaver();
  /// Waits for the running job. A failure that nobody asked for is dropped: call wait() first.
  ~BackgroundSaver();
  BackgroundSaver(const BackgroundSaver&) = delete;
  BackgroundSaver& operator=(const BackgroundSaver&) = delete;

  /// Waits for the running job, throws its failure if it failed (the new job is then not started), else
  /// starts `job` and returns at once.
  void start(std::function<void()> job);
  /// Throws the failure of a job that has ended, once. Does not wait.
  void check();
  /// Waits for the running job and throws its failure, once.
  void wait();
  bool is_busy() const;
  /// Seconds that the last job to end took; 0 before the first.
  double last_seconds() const;

 private:
  void run();
  void throw_failure(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> job_;
  std::exception_ptr failure_;
  double last_seconds_ = 0;
  bool is_busy_ = false;
  bool is_ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

/// Seconds between saves that lose least time: sqrt(2 * cost * mtbf) (Young 1974; Daly 2006, first order).
/// `cost` is what one save costs the run, `mtbf` the mean time between failures of the whole job, both in
/// seconds. Throws UserError unless both are positive and finite.
double best_save_interval_seconds(double cost_seconds, double mtbf_seconds);

}  // namespace switchyard::data
