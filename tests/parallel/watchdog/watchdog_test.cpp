// Watchdogs of ranks that are threads: what they say where the host or the network refuses, and of a rank
// that fails.
#include "parallel/watchdog/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <mutex>
#include <thread>

#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"

namespace switchyard::parallel {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// What the watchdogs of all ranks said.
struct Heard {
  std::mutex mutex;
  std::vector<std::string> warnings, records, errors;

  void note(std::vector<std::string>& list, const std::string& text) {
    const std::lock_guard lock(mutex);
    list.push_back(text);
  }
  WatchdogActions actions() {
    WatchdogActions actions;
    actions.record = [this](const RankPlace& who, std::span<const Event> events, const std::string& why) {
      note(records,
           "rank " + std::to_string(who.rank) + ", " + std::to_string(events.size()) + " events: " + why);
    };
    actions.tell = [](Fate, const std::string& text) { ADD_FAILURE() << text; };
    actions.warn = [this](const std::string& text) { note(warnings, text); };
    return actions;
  }
};

/// The least number that a new descriptor would get.
int next_descriptor() {
  const int next = ::dup(STDERR_FILENO);
  ::close(next);
  return next;
}

/// Runs two ranks with a watchdog each under a limit of the process; `body` while they watch.
void watch_within(__rlimit_resource resource, rlim_t limit, const WatchdogOptions& options, Heard& heard,
                  const std::function<void(Communicator&, Watchdog&)>& body) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(resource, &before), 0);
  rlimit small = before;
  small.rlim_cur = limit;
  run_local(2, [&](Communicator& world) {
    world.barrier();
    if (world.rank() == 0) ::setrlimit(resource, &small);
    world.barrier();
    try {
      Watchdog watchdog(world, "node7", options, heard.actions(), GuardianLink());
      world.barrier();
      if (world.rank() == 0) ::setrlimit(resource, &before);
      body(world, watchdog);
      world.barrier();
    } catch (const DeviceError& error) {
      heard.note(heard.errors, "rank " + std::to_string(world.rank()) + ": " + error.what());
    }
  });
  ::setrlimit(resource, &before);
}

TEST(Watchdog, HostWithoutSharedMemoryEndsAllRanksWithTheCause) {
  std::signal(SIGXFSZ, SIG_IGN);
  Heard heard;
  watch_within(RLIMIT_FSIZE, 100, {}, heard, [](Communicator&, Watchdog&) { ADD_FAILURE() << "it watches"; });
  EXPECT_THAT(heard.errors, Contains(AllOf(HasSubstr("rank 0: "), HasSubstr("reserving it"),
                                           HasSubstr("set watchdog.enable: false"))));
  EXPECT_THAT(heard.errors,
              Contains(HasSubstr("rank 1: watchdog: another rank could not open the shared memory")));
}

TEST(Watchdog, HostsThatCannotMeetWatchTheirOwnRanks) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors of their own";
#endif
  Heard heard;
  WatchdogOptions options;
  options.ranks_as_hosts = true;
  // Room for the two boards, and for no socket.
  watch_within(RLIMIT_NOFILE, static_cast<rlim_t>(next_descriptor()) + 2, options, heard,
               [](Communicator&, Watchdog& watchdog) {
                 EXPECT_TRUE(watchdog.has_peers());
                 std::this_thread::sleep_for(std::chrono::milliseconds(400));
               });
  EXPECT_THAT(heard.errors, IsEmpty());
  EXPECT_THAT(heard.warnings, ElementsAre(AllOf(HasSubstr("watchdog: each host watches its own ranks only: "),
                                                HasSubstr("must reach an address of rank 0"))));
}

TEST(Watchdog, OthersKeepTheirRecordsWhenARankFailsAndAccuseNobody) {
  Heard heard;
  run_local(2, [&](Communicator& world) {
    Watchdog watchdog(world, "node7", {}, heard.actions(), GuardianLink());
    watchdog.recorder().entered(kernels::Place{kernels::Phase::forward, 3, 0, 1});
    world.barrier();
    if (world.rank() == 1) watchdog.failing(70, "a drill");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
    while (std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const std::lock_guard lock(heard.mutex);
      if (heard.records.size() == 2) break;
    }
    world.barrier();
  });
  EXPECT_THAT(heard.records,
              testing::UnorderedElementsAre("rank 1, 1 events: a drill", "rank 0, 1 events: rank 1 failed"));
  EXPECT_THAT(heard.warnings, IsEmpty());
}

TEST(Watchdog, ARankAloneKeepsItsOwnRecord) {
  Heard heard;
  const auto world = single_rank();
  Watchdog watchdog(*world, "node7", {}, heard.actions(), GuardianLink());
  EXPECT_FALSE(watchdog.has_peers());
  watchdog.recorder().closing();
  watchdog.failing(5, "the disk");
  watchdog.failing(5, "again");
  EXPECT_THAT(heard.records, ElementsAre("rank 0, 1 events: the disk")) << "once";
}

TEST(Watchdog, ASlowRankIsToldToRankZero) {
  Heard heard;
  WatchdogOptions options;
  options.slow_steps = 1;
  run_local(2, [&](Communicator& world) {
    Watchdog watchdog(world, "node7", options, heard.actions(), GuardianLink());
    for (std::int64_t step = 1; step <= 2; ++step) {
      watchdog.recorder().entered(kernels::Place{kernels::Phase::forward, step, 0, 1});
      std::this_thread::sleep_for(std::chrono::milliseconds(world.rank() == 1 ? 2100 : 1050));
      watchdog.recorder().entered(kernels::Place{kernels::Phase::agree, step, -1, -1});
    }
    world.barrier();
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    world.barrier();
  });
  EXPECT_THAT(heard.warnings, ElementsAre(testing::ContainsRegex(
                                  "rank 1 on node7 is slow: its work in steps 1 to 2 took [0-9.]+ times")));
}

}  // namespace
}  // namespace switchyard::parallel
