// Saves, rollbacks and starts over all ranks, on disks that fail: what the ranks agree on and what is left in
// the folder.
#include "app/train/checkpointer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <cerrno>
#include <sstream>
#include <thread>

#include "data/checkpoint/load/reader.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"
#include "tests/support/process.h"

namespace switchyard::app {
namespace {

using data::IoCall;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;
using Names = std::vector<std::string>;

/// One tensor of eight values, cut over the ranks; all hold the step's number.
class Values {
 public:
  Values(const parallel::Communicator& world, std::int64_t step)
      : values_(8 / static_cast<std::size_t>(world.size()), static_cast<float>(step)) {
    const auto share = static_cast<std::int64_t>(values_.size());
    slices_ = {{"w", DType::f32, {8}, share * world.rank(), share * (world.rank() + 1), values_.data()}};
  }
  const std::vector<moe::StateSlice>& slices() const { return slices_; }

 private:
  std::vector<float> values_;
  std::vector<moe::StateSlice> slices_;
};

class CheckpointerTest : public testing::Test {
 protected:
  CheckpointerTest() : before_(spdlog::default_logger()) {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink));
  }
  ~CheckpointerTest() override { spdlog::set_default_logger(before_); }

  static CheckpointConfig config(bool background, std::int64_t keep = 10) {
    CheckpointConfig config;
    config.background = background;
    config.keep = keep;
    return config;
  }
  static void start(Checkpointer& checkpointer, const parallel::Communicator& world, std::int64_t step) {
    kernels::Context context(1);
    const Values values(world, step);
    checkpointer.start(context, step, values.slices(), {{"step", step}}, {"step"}, "config");
    // Without a thread the slices are written in place before start() returns; with one they were copied.
  }
  static bool save(Checkpointer& checkpointer, const parallel::Communicator& world, std::int64_t step) {
    start(checkpointer, world, step);
    return checkpointer.is_pending() && checkpointer.finish();
  }
  /// What is in the folder beside the lock.
  Names names() {
    Names found = real_.list(checkpoints());
    std::erase_if(found, [](const std::string& name) { return name == ".run.guard" || name == "run.lock"; });
    return found;
  }
  void expect_holds(std::int64_t step) {
    const auto newest = data::find_newest(real_, checkpoints(), {});
    ASSERT_TRUE(newest.checkpoint);
    ASSERT_EQ(newest.checkpoint->step, step);
    std::vector<float> values(8);
    data::CheckpointReader(real_, newest.checkpoint->path).read("w", 0, 8, values.data());
    EXPECT_EQ(values, std::vector<float>(8, static_cast<float>(step)));
  }
  void damage(std::int64_t step) {
    std::filesystem::resize_file(
        checkpoints() / ("step-0000000" + std::to_string(step)) / "part-00000.safetensors", 20);
  }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }

  test::Folder folder_;
  data::RealIo real_;
  std::ostringstream log_;

 private:
  std::shared_ptr<spdlog::logger> before_;
};

TEST_F(CheckpointerTest, ASaveThatFailsAtAnyCallIsGivenUpAndTheNextOneGoesThrough) {
  const auto world = parallel::single_rank();
  for (const bool background : {false, true}) {
    std::int64_t step = 0, failed = 0;
    for (bool struck = true; struck;) {
      std::filesystem::remove_all(checkpoints());
      data::FaultingIo io(real_);
      Checkpointer checkpointer(*world, io, checkpoints(), "run", config(background),
                                {std::chrono::hours(1), data::LockOwner::self()});
      ASSERT_TRUE(save(checkpointer, *world, 1));
      io.arm({.call = {}, .index = step, .number = EIO});
      const bool committed = save(checkpointer, *world, 2);
      struck = io.has_struck();
      EXPECT_FALSE(checkpointer.is_pending());
      if (!committed) {
        ++failed;
        EXPECT_THAT(checkpointer.last_failure(), HasSubstr("failed: Input/output error")) << step;
        EXPECT_EQ(checkpointer.last_committed_step(), 1);
        const Names left = names();
        EXPECT_THAT(left, testing::Contains("step-00000001")) << step;
      } else {
        EXPECT_EQ(checkpointer.last_failure(), "");
        expect_holds(2);
      }
      io.arm({.call = {}, .index = 1'000'000});
      EXPECT_TRUE(save(checkpointer, *world, 3)) << step << ": " << checkpointer.last_failure();
      expect_holds(3);
      ++step;
    }
    EXPECT_GT(failed, 10) << "calls of a save";
    EXPECT_GT(step, failed + 1) << "and of the deletion of old ones, which fails no save";
  }
  EXPECT_THAT(log_.str(), AllOf(HasSubstr("checkpoint of step 2 abandoned: file: "),
                                HasSubstr("old checkpoints could not be deleted: file: ")));
}

TEST_F(CheckpointerTest, AFailureOfOneRankIsToldToAllWithItsNumber) {
  for (const bool background : {false, true})
    for (const int victim : {0, 1}) {
      std::filesystem::remove_all(checkpoints());
      parallel::run_local(2, [&](parallel::Communicator& world) {
        data::FaultingIo io(real_);
        Checkpointer checkpointer(world, io, checkpoints(), "run", config(background));
        EXPECT_TRUE(save(checkpointer, world, 1));
        if (world.rank() == victim) io.arm({.call = IoCall::sync_file, .index = 0, .number = ENOSPC});
        EXPECT_FALSE(save(checkpointer, world, 2));
        EXPECT_THAT(checkpointer.last_failure(), AllOf(HasSubstr("rank " + std::to_string(victim) + ": "),
                                                       HasSubstr("No space left on device")));
        world.barrier();
        EXPECT_THAT(names(), ElementsAre("step-00000001"));
        world.barrier();
        EXPECT_TRUE(save(checkpointer, world, 3));
      });
      expect_holds(3);
    }
}

TEST_F(CheckpointerTest, ARunWhoseFolderWasTakenOverSavesNothingMore) {
  const auto world = parallel::single_rank();
  Checkpointer checkpointer(*world, real_, checkpoints(), "run", config(true),
                            {std::chrono::milliseconds(60), data::LockOwner::self()});
  ASSERT_TRUE(save(checkpointer, *world, 1));
  data::LockOwner other = data::LockOwner::self();
  other.host = "node2";
  {
    const data::File guard(real_, real_.lock(checkpoints() / ".run.guard"));
    data::write_whole_file(real_, folder_ / "other", other.text());
    real_.rename(folder_ / "other", checkpoints() / "run.lock");
  }
  bool committed = true;
  for (std::int64_t step = 2; committed && step < 1000; ++step) {
    committed = save(checkpointer, *world, step);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(committed);
  EXPECT_THAT(checkpointer.last_failure(), HasSubstr("another run has taken over " + checkpoints().string()));
  EXPECT_THAT(names(), testing::Not(testing::Contains(testing::StartsWith(".tmp-"))));
}

/// Pages that the system gives this process while it copies `slices` for a save in the background, which then
/// fails before it writes.
long pages_given_at_a_save(const std::filesystem::path& folder, const std::vector<moe::StateSlice>& slices,
                           const CheckpointConfig& config, bool reserves) {
  const auto world = parallel::single_rank();
  kernels::Context context(1);
  data::RealIo real;
  data::FaultingIo io(real);
  Checkpointer checkpointer(*world, io, folder, "run", config);
  if (reserves) checkpointer.reserve(slices);
  io.arm({.call = {}, .index = 0, .number = EIO});
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  checkpointer.start(context, 1, slices, {{"step", std::int64_t{1}}}, {"step"}, "config");
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_FALSE(checkpointer.is_pending());
  return after.ru_minflt - before.ru_minflt;
}

TEST_F(CheckpointerTest, MemoryThatWasReservedIsThereWhenTheFirstSaveCopies) {
  constexpr std::int64_t kValues = 32 << 20;  // 64 pages even where a page has two megabytes
  std::vector<float> values(kValues, 1);
  const std::vector<moe::StateSlice> slices = {{"w", DType::f32, {kValues}, 0, kValues, values.data()},
                                               {"another rank holds it", DType::f32, {8}, 0, 0, nullptr}};
  const long without = pages_given_at_a_save(checkpoints(), slices, config(true), false);
  const long with = pages_given_at_a_save(checkpoints(), slices, config(true), true);
  EXPECT_LT(2 * with, without);
}

TEST_F(CheckpointerTest, TheNextSaveFinishesTheOneUnderWay) {
  const auto world = parallel::single_rank();
  Checkpointer checkpointer(*world, real_, checkpoints(), "run", config(true));
  start(checkpointer, *world, 1);
  EXPECT_TRUE(checkpointer.is_pending());
  start(checkpointer, *world, 2);
  EXPECT_EQ(checkpointer.last_committed_step(), 1);
  EXPECT_TRUE(checkpointer.finish());
  EXPECT_FALSE(checkpointer.is_busy());
  EXPECT_THAT(names(), ElementsAre("step-00000001", "step-00000002"));
}

TEST_F(CheckpointerTest, EndsQuietlyWithAFailedSaveUnderWayWhichTheNextRunClears) {
  const auto world = parallel::single_rank();
  data::FaultingIo io(real_);
  {
    Checkpointer checkpointer(*world, io, checkpoints(), "run", config(true));
    io.arm({.call = IoCall::write, .index = 0, .number = EIO});
    start(checkpointer, *world, 1);
  }
  ASSERT_THAT(names(), ElementsAre(testing::StartsWith(".tmp-step-00000001-")));
  const Checkpointer next(*world, real_, checkpoints(), "run", config(true));
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_THAT(log_.str(), HasSubstr("cleared .tmp-step-00000001-"));
}

TEST_F(CheckpointerTest, ARollbackGivesUpLaterOnesAndRefusesBeforeItDeletes) {
  parallel::run_local(2, [&](parallel::Communicator& world) {
    data::FaultingIo io(real_);
    Checkpointer checkpointer(world, io, checkpoints(), "run", config(true));
    for (const std::int64_t step : {2, 4, 6}) EXPECT_TRUE(save(checkpointer, world, step));
    EXPECT_THAT(
        [&] { checkpointer.rewind_to(1); },
        ThrowsMessage<CheckpointError>(HasSubstr("a rollback needs a checkpoint of step 1 or before")));
    world.barrier();
    EXPECT_EQ(names().size(), 3U);
    world.barrier();
    io.arm({.call = IoCall::rename, .index = 0, .number = EIO});
    EXPECT_THAT([&] { checkpointer.rewind_to(5); }, ThrowsMessage<CheckpointError>(HasSubstr("rename of")));
    EXPECT_EQ(checkpointer.rewind_to(5), checkpoints() / "step-00000004");
    world.barrier();
    EXPECT_THAT(names(), ElementsAre("step-00000002", "step-00000004"));
    world.barrier();
  });
}

TEST_F(CheckpointerTest, WhereNoneIsWholeStartingOverMustBeAskedFor) {
  {
    const auto world = parallel::single_rank();
    Checkpointer checkpointer(*world, real_, checkpoints(), "run", config(false));
    EXPECT_FALSE(checkpointer.newest()) << "a folder that has never had one";
    for (const std::int64_t step : {1, 2}) ASSERT_TRUE(save(checkpointer, *world, step));
  }
  damage(2);
  parallel::run_local(2, [&](parallel::Communicator& world) {
    Checkpointer checkpointer(world, real_, checkpoints(), "run", config(false));
    EXPECT_EQ(checkpointer.newest(), checkpoints() / "step-00000001");
    if (world.rank() == 0) damage(1);
    EXPECT_THAT([&] { checkpointer.newest(); },
                ThrowsMessage<CheckpointError>(AllOf(HasSubstr("none of its 2 checkpoint(s) can be used"),
                                                     HasSubstr("start over with --fresh"))));
    checkpointer.discard_all();
    EXPECT_FALSE(checkpointer.newest());
    world.barrier();
    EXPECT_THAT(names(), IsEmpty());
    world.barrier();
  });
  EXPECT_THAT(log_.str(), HasSubstr("checkpoint passed over: "));
}

}  // namespace
}  // namespace switchyard::app
