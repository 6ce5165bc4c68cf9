#include "kernels/runtime/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/runtime/check.h"

namespace switchyard::kernels {

namespace {

// Ops follow each other within microseconds, and waking a sleeping thread takes tens of them: who waits looks
// for a while before it sleeps. Short, because another rank may want the core.
constexpr std::chrono::microseconds kPatience{50};

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

template <typename Condition>
bool happens_soon(std::chrono::microseconds patience, Condition condition) {
  if (condition()) return true;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 16; ++i) {
      relax();
      if (condition()) return true;
    }
  } while (std::chrono::steady_clock::now() - start < patience);
  return false;
}

// Where one thread of the crew stands. The caller offers work and takes the offer back when nothing is left:
// it never waits for a thread that has not begun.
enum class Place : int { idle, offered, working };

struct alignas(64) Worker {
  std::atomic<Place> place{Place::idle};
  std::thread thread;
};

}  // namespace

struct Threads::Crew {
  using Body = FunctionRef<void(int, std::int64_t, std::int64_t)>;

  // What the present work is; written by the caller while all are idle.
  const Body* body = nullptr;
  std::int64_t items = 0;
  std::int64_t grain = 1;
  alignas(64) std::atomic<std::int64_t> next{0};

  std::mutex mutex;
  std::condition_variable work_came;
  std::condition_variable work_done;
  std::exception_ptr failure;  // under mutex
  std::atomic<int> sleeping{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stopping{false};
  std::chrono::microseconds patience = kPatience;

  std::vector<Worker> workers;

  explicit Crew(int count) : workers(static_cast<std::size_t>(count)) {}

  void claim(int worker) {
    while (true) {
      const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= items) return;
      try {
        (*body)(worker, begin, std::min(begin + grain, items));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next.store(items, std::memory_order_relaxed);
      }
    }
  }

  void serve(int number) {
    std::atomic<Place>& place = workers[static_cast<std::size_t>(number) - 1].place;
    const auto called = [&] { return place.load() == Place::offered || stopping.load(); };
    while (true) {
      if (!happens_soon(patience, called)) {
        std::unique_lock lock(mutex);
        ++sleeping;
        work_came.wait(lock, called);
        --sleeping;
      }
      if (stopping.load()) return;
      Place expected = Place::offered;
      if (!place.compare_exchange_strong(expected, Place::working)) continue;  // taken back meanwhile
      claim(number);
      place.store(Place::idle);
      if (caller_sleeps.load()) {
        const std::lock_guard lock(mutex);
        work_done.notify_one();
      }
    }
  }

  void offer() {
    for (Worker& worker : workers) worker.place.store(Place::offered);
    if (sleeping.load() == 0) return;
    { const std::lock_guard lock(mutex); }  // a thread between its last look and its sleep gets there first
    work_came.notify_all();
  }

  void finish() {
    for (Worker& worker : workers) {
      Place expected = Place::offered;
      if (worker.place.compare_exchange_strong(expected, Place::idle)) continue;
      const auto idle = [&] { return worker.place.load() == Place::idle; };
      if (happens_soon(patience, idle)) continue;
      std::unique_lock lock(mutex);
      caller_sleeps.store(true);
      work_done.wait(lock, idle);
      caller_sleeps.store(false);
    }
  }
};

int available_cores() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Threads::Threads(int count) {
  SWITCHYARD_CHECK(count >= 1, "a crew has at least 1 thread; got {}", count);
  crew_ = std::make_unique<Crew>(count - 1);
  if (count > available_cores()) crew_->patience = {};
  for (int t = 1; t < count; ++t)
    crew_->workers[static_cast<std::size_t>(t) - 1].thread =
        std::thread([crew = crew_.get(), t] { crew->serve(t); });
}

Threads::~Threads() {
  crew_->stopping.store(true);
  { const std::lock_guard lock(crew_->mutex); }
  crew_->work_came.notify_all();
  for (Worker& worker : crew_->workers) worker.thread.join();
}

int Threads::count() const {
  return static_cast<int>(crew_->workers.size()) + 1;
}

void Threads::run(std::int64_t items, std::int64_t grain,
                  FunctionRef<void(std::int64_t, std::int64_t)> body) {
  run_on_workers(items, grain, [&](int, std::int64_t begin, std::int64_t end) { body(begin, end); });
}

void Threads::run_on_workers(std::int64_t items, std::int64_t grain,
                             FunctionRef<void(int, std::int64_t, std::int64_t)> body) {
  if (items <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  Crew& crew = *crew_;
  if (crew.workers.empty() || items <= grain) {
    for (std::int64_t begin = 0; begin < items; begin += grain)
      body(0, begin, std::min(begin + grain, items));
    return;
  }
  crew.body = &body;
  crew.items = items;
  crew.grain = grain;
  crew.next.store(0, std::memory_order_relaxed);
  crew.offer();
  crew.claim(0);
  crew.finish();
  const std::lock_guard lock(crew.mutex);
  if (crew.failure) std::rethrow_exception(std::exchange(crew.failure, nullptr));
}

}  // namespace switchyard::kernels
