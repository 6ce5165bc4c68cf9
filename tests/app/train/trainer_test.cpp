// The loop on a disk that fails on demand, in this process.
#include "app/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <sstream>

#include "app/config/load.h"
#include "app/exit_code.h"
#include "data/checkpoint/load/verify.h"
#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "kernels/runtime/error.h"
#include "parallel/communicators/local.h"
#include "tests/support/workshop.h"

namespace switchyard::app {
namespace {

using testing::HasSubstr;

class TrainerOnAFailingDisk : public testing::Test {
 protected:
  TrainerOnAFailingDisk() : before_(spdlog::default_logger()) {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink));
  }
  ~TrainerOnAFailingDisk() override { spdlog::set_default_logger(before_); }

  int train(data::Io& io) {
    const std::vector<std::string> settings = {"data.train=" + (workshop_ / "data").string(),
                                               "run.directory=" + (workshop_ / "runs/run").string()};
    const Config config = load_config(workshop_ / "tiny.yaml", settings);
    std::filesystem::create_directories(config.run.directory);
    const auto world = parallel::single_rank();
    Session session(config, *world, {});
    Trainer trainer(session, io, {.quiet = true});
    return trainer.run();
  }
  std::optional<data::Listing::Candidate> newest() {
    return data::find_newest(real_, workshop_ / "runs/run/checkpoints", {}).checkpoint;
  }

  test::Workshop workshop_;
  data::RealIo real_;
  std::ostringstream log_;

 private:
  std::shared_ptr<spdlog::logger> before_;
};

// Index, among calls of one kind, of the first and second checkpoint's first such call.
std::int64_t calls_of(const data::FaultingIo& io, data::IoCall call) {
  return std::ranges::count(io.calls(), call);
}

TEST_F(TrainerOnAFailingDisk, OneFailedSaveIsAbandonedAndTrainingGoesOn) {
  data::FaultingIo counting(real_);
  ASSERT_EQ(train(counting), kExitDone);
  const std::int64_t syncs = calls_of(counting, data::IoCall::sync_file);
  ASSERT_GT(syncs, 2);
  const std::string digest = workshop_.digest("runs/run");
  std::filesystem::remove_all(workshop_ / "runs");

  // Among the first half of the calls: in the save of step 10.
  data::FaultingIo io(real_, {.call = data::IoCall::sync_file, .index = syncs / 4, .number = ENOSPC});
  EXPECT_EQ(train(io), kExitDone);
  EXPECT_TRUE(io.has_struck());
  EXPECT_THAT(log_.str(), HasSubstr("checkpoint of step 10 abandoned"));
  EXPECT_FALSE(std::filesystem::exists(workshop_.checkpoint("run", 10)));
  EXPECT_EQ(workshop_.digest("runs/run"), digest);
}

TEST_F(TrainerOnAFailingDisk, AFullDiskAtTheEndIsADiskErrorAndTheOldCheckpointStays) {
  data::FaultingIo counting(real_);
  ASSERT_EQ(train(counting), kExitDone);
  const std::int64_t syncs = calls_of(counting, data::IoCall::sync_file);
  std::filesystem::remove_all(workshop_ / "runs");

  data::FaultingIo io(
      real_,
      {.call = data::IoCall::sync_file, .index = syncs - syncs / 4, .number = ENOSPC, .is_persistent = true});
  try {
    train(io);
    FAIL() << "the last checkpoint was not written";
  } catch (const DiskError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the last checkpoint could not be written"));
    EXPECT_THAT(error.what(), HasSubstr("earlier ones are in"));
  }
  const auto left = newest();
  ASSERT_TRUE(left);
  EXPECT_EQ(left->step, 10);
}

}  // namespace
}  // namespace switchyard::app
