// Who holds a folder, who is refused, and who takes over from the dead.
#include "data/checkpoint/keep/run_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>

#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

// Field 22 of /proc/PID/stat of a process whose name has no parentheses in it.
std::int64_t ticks_of(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line, field;
  std::getline(in, line);
  std::istringstream rest(line.substr(line.rfind(')') + 1));
  for (int number = 3; number <= 22; ++number) rest >> field;
  return std::stoll(field);
}

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(RunLock, TheSecondRunIsRefusedAndToldWhoHasTheFolder) {
  TemporaryFolder folder;
  RealIo io;
  {
    const RunLock lock(io, folder.path());
    EXPECT_THAT(
        [&] { RunLock(io, folder.path()); },
        ThrowsMessage<UserError>(HasSubstr("is in use by process " + std::to_string(::getpid()) + " on ")));
    EXPECT_FALSE(lock.is_lost());
  }
  EXPECT_EQ(io.stat(folder.path() / "run.lock").kind, EntryKind::absent);
  const RunLock again(io, folder.path());
}

TEST(RunLock, AKilledOwnerBlocksNobody) {
  TemporaryFolder folder;
  RealIo io;
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const RunLock lock(io, folder.path());
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(io.stat(folder.path() / "run.lock").kind, EntryKind::file);
  const RunLock lock(io, folder.path());
}

TEST(RunLock, AReusedProcessNumberOrAnUnreadableLockBlocksNobody) {
  TemporaryFolder folder;
  RealIo io;
  LockOwner other = LockOwner::self();
  ++other.start_ticks;
  write_whole_file(io, folder.path() / "run.lock", other.text());
  { const RunLock lock(io, folder.path()); }
  write_whole_file(io, folder.path() / "run.lock", "{\"host\":");
  { const RunLock lock(io, folder.path()); }
  write_whole_file(io, folder.path() / "run.lock", "{}");
  const RunLock lock(io, folder.path());
}

TEST(RunLock, AnOwnerOutOfSightIsRespectedWhileItBeatsAndReplacedWhenItStops) {
  TemporaryFolder folder;
  RealIo io;
  LockOwner far = LockOwner::self();
  far.host = "node-far-away";
  far.boot_id = "another";
  EXPECT_EQ(judge_owner(far, LockOwner::self()), OwnerState::out_of_sight);
  RunLockOptions patient;
  patient.lease = std::chrono::seconds(2);
  {
    // Lives here, looks far away to the second: its own thread beats.
    const RunLock owner(io, folder.path(), {patient.lease, far});
    EXPECT_THAT([&] { RunLock(io, folder.path(), patient); },
                ThrowsMessage<UserError>(HasSubstr("on node-far-away")));
  }
  write_whole_file(io, folder.path() / "run.lock", far.text());
  const auto begin = std::chrono::steady_clock::now();
  const RunLock lock(io, folder.path(), patient);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, patient.lease);
}

TEST(RunLock, WhoWaitsForAnOwnerOutOfSightSeesItLeaveOrChange) {
  TemporaryFolder folder;
  RealIo io;
  LockOwner far = LockOwner::self(), farther = LockOwner::self();
  far.host = "node-far-away";
  farther.host = "node-farther-away";
  const auto replace = [&](const LockOwner& owner) {
    write_whole_file(io, folder.path() / "other", owner.text());
    io.rename(folder.path() / "other", folder.path() / "run.lock");
  };
  /// Does something to the lock once a second run waits for it.
  const auto while_waiting = [&](const std::function<void()>& change) {
    replace(far);
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(250));
      const File guard(io, io.lock(folder.path() / ".run.guard"));
      change();
    });
    std::string refusal;
    try {
      const RunLock lock(io, folder.path(), {std::chrono::seconds(2), LockOwner::self()});
    } catch (const UserError& error) {
      refusal = error.what();
    }
    other.join();
    return refusal;
  };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(while_waiting([&] { io.unlink(folder.path() / "run.lock"); }), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2))
      << "it need not wait out the lease";
  EXPECT_THAT(while_waiting([&] { replace(farther); }), HasSubstr("on node-farther-away"));
  LockOwner dead = LockOwner::self();
  ++dead.start_ticks;
  EXPECT_EQ(while_waiting([&] { replace(dead); }), "");
}

TEST(RunLock, AnOwnerThatLostItsLockFindsOut) {
  TemporaryFolder folder;
  RealIo io;
  std::optional<RunLock> lock;
  lock.emplace(io, folder.path(), RunLockOptions{std::chrono::milliseconds(60), LockOwner::self()});
  LockOwner other = LockOwner::self();
  other.host = "node2";
  write_whole_file(io, folder.path() / "other", other.text());
  {
    // As another run would: with the guard, or the thread that beats may write over it in the same moment.
    const File guard(io, io.lock(folder.path() / ".run.guard"));
    io.rename(folder.path() / "other", folder.path() / "run.lock");
  }
  for (int i = 0; i < 500 && !lock->is_lost(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(lock->is_lost());
  lock.reset();
  EXPECT_EQ(io.stat(folder.path() / "run.lock").kind, EntryKind::file) << "the other's lock stays";
}

TEST(RunLock, MakesItsFolderAndClearsTheHalfWrittenLockOfADeadNamesake) {
  TemporaryFolder folder;
  RealIo io;
  const LockOwner self = LockOwner::self();
  { const RunLock lock(io, folder.path() / "made", {std::chrono::seconds(60), self}); }
  write_whole_file(io, folder.path() / "made" / (".tmp-lock-" + self.nonce), "{\"host\":");
  const RunLock lock(io, folder.path() / "made", {std::chrono::seconds(60), self});
  EXPECT_THAT(io.list(folder.path() / "made"), ElementsAre(".run.guard", "run.lock"));
}

TEST(RunLock, OutlastsADiskThatFailsWhileItBeatsAndEndsWithoutIt) {
  TemporaryFolder folder;
  RealIo real;
  FaultingIo io(real);
  {
    const RunLock lock(io, folder.path(), {std::chrono::milliseconds(60), LockOwner::self()});
    const auto beat = [&] {
      return LockOwner::parse(read_whole_file(real, folder.path() / "run.lock", FolderLink::refused, 4096))
          .beat;
    };
    io.arm({IoCall::lock, 0, EIO, true, false});
    for (int i = 0; i < 1000 && !io.has_struck(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(io.has_struck());
    const std::int64_t stands_at = beat();
    EXPECT_FALSE(lock.is_lost()) << "nobody else was seen";
    io.arm({IoCall::lock, 1'000'000'000, EIO, false, false});
    for (int i = 0; i < 1000 && beat() == stands_at; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_GT(beat(), stands_at) << "it beats again";
    io.arm({IoCall::lock, 0, EIO, true, false});
  }
  EXPECT_EQ(real.stat(folder.path() / "run.lock").kind, EntryKind::file) << "it could not be removed";
}

TEST(RunLock, AnOwnerWhoseLockWasRemovedFindsOut) {
  TemporaryFolder folder;
  RealIo io;
  std::optional<RunLock> lock;
  lock.emplace(io, folder.path(), RunLockOptions{std::chrono::milliseconds(60), LockOwner::self()});
  {
    const File guard(io, io.lock(folder.path() / ".run.guard"));
    io.unlink(folder.path() / "run.lock");
  }
  for (int i = 0; i < 1000 && !lock->is_lost(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(lock->is_lost());
  std::this_thread::sleep_for(
      std::chrono::milliseconds(100));  // several beats long: it has none to make any more
  EXPECT_EQ(io.stat(folder.path() / "run.lock").kind, EntryKind::absent);
  lock.reset();
  EXPECT_EQ(io.stat(folder.path() / "run.lock").kind, EntryKind::absent);
}

TEST(RunLock, OfManyThatStartTogetherOneWins) {
  TemporaryFolder folder;
  RealIo io;
  LockOwner dead = LockOwner::self();
  ++dead.start_ticks;
  write_whole_file(io, folder.path() / "run.lock", dead.text());
  std::atomic<int> num_winners = 0, num_refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      try {
        const RunLock lock(io, folder.path());
        ++num_winners;
        while (num_winners + num_refused < 8) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      } catch (const UserError&) {
        ++num_refused;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(num_winners, 1);
  EXPECT_EQ(num_refused, 7);
}

TEST(RunLock, AnOwnerThatIsDeadButNotFetchedByItsParentIsGone) {
  const pid_t child = fork();
  if (child == 0) pause();
  LockOwner owner = LockOwner::self();
  owner.pid = child;
  owner.start_ticks = ticks_of(child);
  EXPECT_EQ(judge_owner(owner, LockOwner::self()), OwnerState::alive);
  kill(child, SIGKILL);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);  // it stays a zombie
  EXPECT_EQ(ticks_of(child), owner.start_ticks);
  EXPECT_EQ(judge_owner(owner, LockOwner::self()), OwnerState::gone);
  waitpid(child, nullptr, 0);
}

TEST(LockOwner, IsTheSameOnlyWithTheSameProcessHostBootAndNonce) {
  const LockOwner self = LockOwner::self();
  LockOwner other = self;
  other.beat = 7;
  EXPECT_TRUE(other.is_same(self));
  for (const auto change :
       {+[](LockOwner& owner) { ++owner.pid; }, +[](LockOwner& owner) { owner.host += "x"; },
        +[](LockOwner& owner) { owner.boot_id += "x"; }, +[](LockOwner& owner) { owner.nonce += "x"; }}) {
    other = self;
    change(other);
    EXPECT_FALSE(other.is_same(self)) << other.text();
  }
  other = self;
  other.host = "a-container-of-this-machine";
  EXPECT_EQ(judge_owner(other, self), OwnerState::out_of_sight);
  other = self;
  other.pid = 1 << 30;  // above any limit of Linux
  EXPECT_EQ(judge_owner(other, self), OwnerState::gone);
}

TEST(LockOwner, TextRoundTripAndGarbage) {
  const LockOwner self = LockOwner::self();
  EXPECT_TRUE(LockOwner::parse(self.text()).is_same(self));
  EXPECT_FALSE(LockOwner::self().is_same(self)) << "each lock has its own nonce";
  EXPECT_GT(self.start_ticks, 0);
  EXPECT_EQ(judge_owner(self, self), OwnerState::alive);
  EXPECT_THROW(LockOwner::parse("{\"host\":1}"), DataError);
  const std::string huge =
      "{\"host\":\"a\",\"boot_id\":\"b\",\"pid\":1,\"start_ticks\":3e88,\"nonce\":\"c\",\"beat\":3}";
  EXPECT_THAT([&] { LockOwner::parse(huge); },
              ThrowsMessage<DataError>(HasSubstr("'start_ticks' must be an integer")));
}

}  // namespace
}  // namespace switchyard::data
