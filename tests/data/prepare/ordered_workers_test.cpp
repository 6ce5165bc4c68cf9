#include "data/prepare/ordered_workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>

namespace switchyard::data {
namespace {

TEST(OrderedWorkers, GiveResultsInTheOrderOfJobs) {
  for (const int threads : {1, 2, 5}) {
    OrderedWorkers<int, int> workers(threads, [](const int& job) {
      std::this_thread::sleep_for(std::chrono::microseconds(job % 3 * 300));
      return job * 10;
    });
    int next = 0;
    for (int job = 0; job < 200; ++job) {
      workers.submit(job);
      if (workers.pending() > 20) {
        EXPECT_EQ(workers.take(), next++ * 10);
      }
    }
    while (workers.pending() > 0) EXPECT_EQ(workers.take(), next++ * 10);
    EXPECT_EQ(next, 200);
  }
}

TEST(OrderedWorkers, ThrowTheErrorOfTheEarliestJobFirst) {
  OrderedWorkers<int, int> workers(2, [](const int& job) -> int {
    if (job == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (job >= 1) throw std::runtime_error(std::to_string(job));
    return job;
  });
  for (int job = 0; job < 4; ++job) workers.submit(job);
  EXPECT_EQ(workers.take(), 0);
  try {
    workers.take();
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "1");
  }
}

TEST(OrderedWorkers, EndWithJobsUntaken) {
  std::atomic<int> done{0};
  {
    OrderedWorkers<int, int> workers(2, [&](const int& job) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++done;
      return job;
    });
    for (int job = 0; job < 1000; ++job) workers.submit(job);
  }
  EXPECT_LT(done, 1000);
}

}  // namespace
}  // namespace switchyard::data
