// Retention, clearing up, and saves in the background.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cmath>
#include <limits>

#include "data/checkpoint/keep/remove.h"
#include "data/checkpoint/keep/retention.h"
#include "data/checkpoint/keep/run_lock.h"
#include "data/checkpoint/save/background_saver.h"
#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "data/io/recording_io.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

void save_steps(Io& io, const std::vector<std::int64_t>& steps, const std::string& run = "sample") {
  for (const auto step : steps) save_sample(io, "/root", {step, 1, 1, run, 1});
}
void break_step(RecordingIo& io, const std::string& folder) {
  io.contents("/root/" + folder + "/part-00000.safetensors").back() ^= 1;
}

std::int64_t reads(const FaultingIo& io) {
  return std::count(io.calls().begin(), io.calls().end(), IoCall::read);
}

TEST(Retention, KeepsTheNewestAndTheMilestones) {
  RecordingIo io;
  save_steps(io, {10, 20, 30, 40, 50, 60});
  const auto report = apply_retention(io, "/root", {2, 30, "sample", {}});
  EXPECT_THAT(report.kept, ElementsAre(60, 50));
  EXPECT_THAT(report.deleted, ElementsAre(40, 20, 10));
  EXPECT_THAT(io.list("/root"), ElementsAre("step-00000030", "step-00000050", "step-00000060"));
}

TEST(Retention, DamagedCheckpointsDoNotCountAndStay) {
  RecordingIo io;
  save_steps(io, {1, 2, 3, 4});
  break_step(io, "step-00000004");
  const auto report = apply_retention(io, "/root", {2, 0, {}, {}});
  EXPECT_THAT(report.kept, ElementsAre(3, 2));
  EXPECT_THAT(report.deleted, ElementsAre(1));
  ASSERT_EQ(report.rejections.size(), 1U);
  EXPECT_THAT(report.rejections[0].text(), HasSubstr("step-00000004"));
  break_step(io, "step-00000003");
  EXPECT_THAT(apply_retention(io, "/root", {2, 0, {}, {}}).deleted, IsEmpty()) << "only one verifies";
  EXPECT_EQ(io.list("/root").size(), 3U);
}

TEST(Retention, AStepVerifiedBeforeIsNotDigestedAgainButItsSizesAre) {
  RecordingIo io;
  save_steps(io, {1, 2, 3});
  FaultingIo counting(io);
  apply_retention(counting, "/root", {2, 0, {}, {2, 3}});
  EXPECT_EQ(reads(counting), 3) << "the manifests, that of the deleted one too";
  io.contents("/root/step-00000003/part-00000.safetensors").pop_back();
  EXPECT_THAT(apply_retention(io, "/root", {1, 0, {}, {2, 3}}).kept, ElementsAre(2));
}

TEST(Retention, ReadsNothingWhileAllMayStay) {
  RecordingIo io;
  save_steps(io, {1, 2, 3});
  FaultingIo counting(io);
  const auto report = apply_retention(counting, "/root", {3, 0, {}, {1, 3}});
  EXPECT_THAT(report.kept, ElementsAre(3, 1));
  EXPECT_THAT(report.deleted, IsEmpty());
  EXPECT_EQ(reads(counting), 0);
}

TEST(Retention, OtherRunsAndUnreadableManifestsAreNotDeleted) {
  RecordingIo io;
  save_steps(io, {1}, "somebody else");
  save_steps(io, {2, 3, 4});
  io.contents("/root/step-00000002/manifest.json") += "x";
  const auto report = apply_retention(io, "/root", {1, 0, "sample", {}});
  EXPECT_THAT(report.deleted, ElementsAre(3));
  EXPECT_EQ(report.rejections.size(), 2U);
  EXPECT_THAT(io.list("/root"), ElementsAre("step-00000001", "step-00000002", "step-00000004"));
}

TEST(Retention, RefusesAPolicyThatKeepsNothing) {
  RecordingIo io;
  EXPECT_THAT(
      [&] {
        apply_retention(io, "/root", {0, 0, {}, {}});
      },
      ThrowsMessage<UserError>(HasSubstr("checkpoint.keep must be at least 1; got 0")));
  EXPECT_THAT(
      [&] {
        apply_retention(io, "/root", {1, -1, {}, {}});
      },
      ThrowsMessage<UserError>(HasSubstr("checkpoint.keep_every must not be negative; got -1")));
}

TEST(CleanAbandoned, TakesWhatIsLeftAndNothingElse) {
  TemporaryFolder folder;
  RealIo io;
  const auto root = folder.path() / "checkpoints";
  save_sample(io, root, {1, 1, 1, "sample", 1});
  begin_attempt(io, root, {2, "dead job/../x", "nonce", 0});
  std::filesystem::create_directories(root / ".trash-step-00000000-retention-0" / "deep" / "deeper");
  std::filesystem::create_directory(folder.path() / "precious");
  write_whole_file(io, folder.path() / "precious" / "file", "x");
  std::filesystem::create_directory_symlink(folder.path() / "precious", root / ".trash-link");
  const RunLock lock(io, root);
  EXPECT_THAT(clean_abandoned(io, lock), ElementsAre(".tmp-step-00000002-dead_job____x-nonce", ".trash-link",
                                                     ".trash-step-00000000-retention-0"));
  EXPECT_THAT(io.list(root), ElementsAre(".run.guard", "run.lock", "step-00000001"));
  EXPECT_EQ(io.stat(folder.path() / "precious" / "file").kind, EntryKind::file) << "links are not followed";
}

TEST(CleanAbandoned, LeavesWhatItCannotDeleteForTheNextStart) {
  TemporaryFolder folder;
  RealIo real;
  const auto root = folder.path() / "checkpoints";
  auto deep = root / ".trash-step-00000000-retention-0";
  for (int level = 0; level < 20; ++level) deep /= "d";
  std::filesystem::create_directories(deep);
  std::filesystem::create_directory(root / ".tmp-step-00000002-job-nonce");
  FaultingIo io(real);
  {
    const RunLock lock(io, root, {std::chrono::hours(1), LockOwner::self()});
    io.arm({IoCall::remove_folder, 0, EIO, false, false});
    EXPECT_THAT(clean_abandoned(io, lock), IsEmpty()) << "the first fails, the second is nested too deep";
    EXPECT_THAT(clean_abandoned(io, lock), ElementsAre(".tmp-step-00000002-job-nonce"));
  }
  EXPECT_THAT(real.list(root), ElementsAre(".run.guard", ".trash-step-00000000-retention-0"));
  EXPECT_THAT([&] { remove_tree(real, root / ".trash-step-00000000-retention-0"); },
              ThrowsMessage<CheckpointError>(HasSubstr("is nested too deep to be deleted")));
}

TEST(RemoveTree, TakesFilesAndFindsNothingToDoWhereNothingIs) {
  RecordingIo io;
  write_whole_file(io, "/file", "x");
  remove_tree(io, "/file");
  remove_tree(io, "/file");
  EXPECT_THAT(io.list("/"), IsEmpty());
}

TEST(Withdraw, TakesAnotherNameThanTheLeavingsOfADeadDeletion) {
  RecordingIo io;
  save_steps(io, {1});
  io.make_folder("/root/.trash-step-00000001-retention-0");
  withdraw(io, "/root/step-00000001", "retention");
  EXPECT_THAT(io.list("/root"), ElementsAre(".trash-step-00000001-retention-0"));
}

TEST(BackgroundSaver, OneJobAtATimeAndTheNextWaits) {
  BackgroundSaver saver;
  std::atomic<int> num_running = 0, most_running = 0, num_done = 0;
  for (int i = 0; i < 20; ++i) {
    saver.start([&] {
      most_running = std::max(most_running.load(), ++num_running);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      --num_running;
      ++num_done;
    });
    EXPECT_GE(num_done, i) << "the save before has ended";
  }
  saver.wait();
  EXPECT_EQ(num_done, 20);
  EXPECT_EQ(most_running, 1);
  EXPECT_FALSE(saver.is_busy());
  EXPECT_GT(saver.last_seconds(), 0.001);
}

TEST(BackgroundSaver, StartReturnsWhileTheJobRuns) {
  BackgroundSaver saver;
  std::atomic<bool> may_end = false;
  saver.start([&] {
    while (!may_end) std::this_thread::yield();
  });
  EXPECT_TRUE(saver.is_busy());
  EXPECT_NO_THROW(saver.check());
  may_end = true;
  saver.wait();
}

TEST(BackgroundSaver, AFailureSurfacesOnceWithItsCause) {
  BackgroundSaver saver;
  const auto failing = [] { throw DiskError("no space in /x"); };
  saver.start(failing);
  EXPECT_THAT([&] { saver.wait(); }, ThrowsMessage<DiskError>("no space in /x"));
  EXPECT_NO_THROW(saver.check());
  saver.start(failing);
  bool has_run = false;
  EXPECT_THAT([&] { saver.start([&] { has_run = true; }); }, ThrowsMessage<DiskError>("no space in /x"));
  saver.wait();
  EXPECT_FALSE(has_run) << "the new save is not started";
  saver.start(failing);
  while (saver.is_busy()) std::this_thread::yield();
  EXPECT_THROW(saver.check(), DiskError);
}

TEST(BackgroundSaver, DestructionWaitsForTheJob) {
  std::atomic<bool> is_done = false;
  {
    BackgroundSaver saver;
    saver.start([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      is_done = true;
    });
  }
  EXPECT_TRUE(is_done);
}

TEST(BackgroundSaver, SavesARealCheckpointWhileTheNextStateIsMade) {
  RecordingIo io;
  BackgroundSaver saver;
  for (std::int64_t step = 1; step <= 5; ++step)
    saver.start([&io, step] { save_sample(io, "/root", {step, 2, 1, "sample", 16}); });
  saver.wait();
  EXPECT_EQ(find_newest(io, "/root", {}).checkpoint->step, 5);
}

TEST(SaveInterval, FollowsYoungAndDaly) {
  EXPECT_DOUBLE_EQ(best_save_interval_seconds(2, 10'000), 200);
  EXPECT_DOUBLE_EQ(best_save_interval_seconds(0.5, 86'400), std::sqrt(86'400.0));
  // It is the minimum of lost time per second: cost/t + t/(2 mtbf).
  const auto lost = [](double t) { return 2 / t + t / (2 * 10'000.0); };
  EXPECT_LT(lost(200), lost(190));
  EXPECT_LT(lost(200), lost(210));
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity(), std::nan("")}) {
    EXPECT_THROW(best_save_interval_seconds(bad, 1), UserError);
    EXPECT_THROW(best_save_interval_seconds(1, bad), UserError);
  }
}

}  // namespace
}  // namespace switchyard::data
