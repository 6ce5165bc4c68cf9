#include "kernels/runtime/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/runtime/error.h"

namespace switchyard::kernels {
namespace {

TEST(Threads, EveryItemIsInExactlyOneCall) {
  for (const int count : {1, 2, 5}) {
    Threads threads(count);
    EXPECT_EQ(threads.count(), count);
    for (const std::int64_t items : {0, 1, 2, 7, 64, 1000}) {
      for (const std::int64_t grain : {1, 3, 64}) {
        std::vector<std::atomic<int>> calls(static_cast<std::size_t>(items));
        threads.run(items, grain, [&](std::int64_t begin, std::int64_t end) {
          EXPECT_LE(end - begin, grain);
          EXPECT_EQ(begin % grain, 0);
          for (std::int64_t i = begin; i < end; ++i) ++calls[static_cast<std::size_t>(i)];
        });
        for (const auto& number : calls) EXPECT_EQ(number.load(), 1);
      }
    }
  }
}

// Back to back, so that threads meet new work while they finish, look for and fall asleep after the old.
TEST(Threads, ManyRunsInARowLoseNothing) {
  Threads threads(4);
  std::atomic<std::int64_t> total{0};
  for (int run = 0; run < 5000; ++run) {
    threads.run(8, 1, [&](std::int64_t begin, std::int64_t end) { total += end - begin; });
    if (run % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(total.load(), 8 * 5000);
}

TEST(Threads, ResultsAreVisibleWhenRunReturns) {
  Threads threads(3);
  std::vector<int> values(300);
  for (int run = 1; run <= 200; ++run) {
    threads.run(300, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) values[static_cast<std::size_t>(i)] = run;
    });
    for (const int value : values) ASSERT_EQ(value, run);
  }
}

TEST(Threads, SeveralThreadsShareTheWorkAlsoAfterTheyFellAsleep) {
  Threads threads(3);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::set<int> workers;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  // Every item waits until all three threads have come, so each must take one.
  threads.run_on_workers(3, 1, [&](int worker, std::int64_t, std::int64_t) {
    {
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
      workers.insert(worker);
    }
    while (std::chrono::steady_clock::now() < deadline) {
      {
        const std::lock_guard lock(mutex);
        if (ids.size() == 3) return;
      }
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(ids.size(), 3U);
  EXPECT_EQ(workers, (std::set<int>{0, 1, 2}));
}

TEST(Threads, AnExceptionReachesTheCallerAndTheCrewGoesOn) {
  for (const int count : {1, 3}) {
    Threads threads(count);
    EXPECT_THROW(threads.run(100, 1,
                             [](std::int64_t begin, std::int64_t) {
                               if (begin == 40) throw std::runtime_error("item 40");
                             }),
                 std::runtime_error);
    std::atomic<int> calls{0};
    threads.run(10, 1, [&](std::int64_t, std::int64_t) { ++calls; });
    EXPECT_EQ(calls.load(), 10);
  }
}

TEST(Threads, RefusesACrewOfNobody) {
  EXPECT_THROW(Threads(0), InternalError);
}

}  // namespace
}  // namespace switchyard::kernels
