// Watchdogs of ranks that are threads, or two processes: what they say where the host or the network refuses,
// of a rank that fails, and of one that hangs.
#include "parallel/watchdog/watchdog.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <mutex>
#include <thread>

#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"
#include "tests/parallel/watchdog/two_processes.h"

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

/// One of two ranks: the first stops moving, and ends in the middle of its own record; the second waits for
/// it. What is recorded goes to `out`, a line each. Never returns.
[[noreturn]] void hang_or_wait(int rank, int link, int out) {
  TwoProcesses world(rank, link);
  WatchdogOptions options;
  options.limits.hang_seconds = 0.5;
  options.hung_code = 7;
  WatchdogActions actions;
  actions.record = [&](const RankPlace& who, std::span<const Event> events, const std::string& why) {
    while (rank == 0) ::pause();
    if (who.rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(400));  // the other begins
    const std::string line =
        fmt::format("rank {}, {} events: {}\n", who.rank, events.size(), why.substr(0, why.find(" for ")));
    if (::write(out, line.data(), line.size()) < 0) std::_Exit(1);
  };
  actions.tell = [](Fate, const std::string&) {};
  actions.warn = [](const std::string&) {};
  Watchdog watchdog(world, "node7", options, actions, GuardianLink());
  watchdog.recorder().entered(kernels::Place{kernels::Phase::forward, 3, 0, 1});
  if (rank == 1) watchdog.recorder().entered("world", Call{});
  while (true) ::pause();
}

TEST(Watchdog, ARankThatEndsWhileItRecordsIsRecordedByAnother) {
  std::array<int, 2> link{}, out{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, link.data()), 0);
  ASSERT_EQ(::pipe(out.data()), 0);
  std::array<pid_t, 2> processes{};
  for (std::size_t rank = 0; rank < 2; ++rank) {
    processes[rank] = ::fork();
    if (processes[rank] == 0) hang_or_wait(static_cast<int>(rank), link[rank], out[1]);
  }
  ::close(out[1]);
  std::string records;
  std::array<char, 256> piece{};
  for (ssize_t size = 0; (size = ::read(out[0], piece.data(), piece.size())) > 0;)
    records.append(piece.data(), static_cast<std::size_t>(size));
  for (const int file : {link[0], link[1], out[0]}) ::close(file);
  std::array<int, 2> ends{};
  for (std::size_t rank = 0; rank < 2; ++rank) ::waitpid(processes[rank], &ends[rank], 0);
  EXPECT_TRUE(WIFSIGNALED(ends[0]) && WTERMSIG(ends[0]) == SIGKILL) << ends[0];
  EXPECT_EQ(WEXITSTATUS(ends[1]), 7);
  EXPECT_EQ(records,
            "rank 1, 2 events: rank 0: it has not moved\n"
            "rank 0, 1 events: it has not moved\n");
}

}  // namespace
}  // namespace switchyard::parallel
