#include "kernels/runtime/threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/runtime/check.h"

namespace switchyard::kernels {

struct Threads::Crew {
  using Body = FunctionRef<void(int, std::int64_t, std::int64_t)>;

  std::mutex mutex;
  std::condition_variable work_came;
  std::condition_variable work_done;
  std::uint64_t generation = 0;  // a new value announces new work
  bool stopping = false;
  int busy = 0;

  const Body* body = nullptr;
  std::int64_t items = 0;
  std::int64_t grain = 1;
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;

  std::vector<std::thread> threads;

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

  void serve(int worker) {
    std::uint64_t seen = 0;
    while (true) {
      {
        std::unique_lock lock(mutex);
        work_came.wait(lock, [&] { return stopping || generation != seen; });
        if (stopping) return;
        seen = generation;
      }
      claim(worker);
      const std::lock_guard lock(mutex);
      if (--busy == 0) work_done.notify_one();
    }
  }
};

Threads::Threads(int count) : crew_(std::make_unique<Crew>()) {
  SWITCHYARD_CHECK(count >= 1, "a crew has at least 1 thread; got {}", count);
  for (int t = 1; t < count; ++t) crew_->threads.emplace_back([crew = crew_.get(), t] { crew->serve(t); });
}

Threads::~Threads() {
  {
    const std::lock_guard lock(crew_->mutex);
    crew_->stopping = true;
  }
  crew_->work_came.notify_all();
  for (std::thread& thread : crew_->threads) thread.join();
}

int Threads::count() const {
  return static_cast<int>(crew_->threads.size()) + 1;
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
  if (crew.threads.empty() || items <= grain) {
    for (std::int64_t begin = 0; begin < items; begin += grain)
      body(0, begin, std::min(begin + grain, items));
    return;
  }
  {
    const std::lock_guard lock(crew.mutex);
    crew.body = &body;
    crew.items = items;
    crew.grain = grain;
    crew.next.store(0, std::memory_order_relaxed);
    crew.failure = nullptr;
    crew.busy = static_cast<int>(crew.threads.size());
    ++crew.generation;
  }
  crew.work_came.notify_all();
  crew.claim(0);
  std::unique_lock lock(crew.mutex);
  crew.work_done.wait(lock, [&] { return crew.busy == 0; });
  if (crew.failure) std::rethrow_exception(std::exchange(crew.failure, nullptr));
}

}  // namespace switchyard::kernels
