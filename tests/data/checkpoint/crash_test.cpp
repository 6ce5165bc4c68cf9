// What a crash, a failing call or a power loss at any moment of a save, a deletion or a recovery leaves
// behind.
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <memory>

#include "data/checkpoint/format/names.h"
#include "data/checkpoint/keep/retention.h"
#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "data/io/recording_io.h"
#include "tests/data/checkpoint/sample.h"
#include "tests/data/checkpoint/works.h"

namespace switchyard::data {
namespace {

constexpr int kKilobytes = kWorkKilobytes;

SaveSpec save_spec(std::int64_t step) {
  return {step, 2, static_cast<std::uint64_t>(step), "sample", kKilobytes};
}

void expect_old_or_new(Io& io, const std::filesystem::path& root, const std::string& what) {
  ASSERT_EQ(broken_promise(io, root), "") << what;
}

void expect_can_go_on(Io& io, const std::filesystem::path& root, const std::string& what) {
  ASSERT_EQ(cannot_go_on(io, root), "") << what;
}

struct Kind {
  const char* name;
  int number;
  bool is_persistent, takes_effect;
};
constexpr Kind kKinds[] = {
    {"crash", 0, true, false},
    {"crash after the effect", 0, true, true},
    {"EIO once", EIO, false, false},
    {"EIO for good", EIO, true, false},
    {"EIO after the effect", EIO, false, true},
    {"ENOSPC once", ENOSPC, false, false},
    {"ENOSPC for good", ENOSPC, true, false},
    {"EROFS for good", EROFS, true, false},
};

/// Walks over every call of the work on one kind of file system. `fresh` gives a prepared one.
template <typename Fresh>
std::int64_t strike_every_call(Work work, Fresh fresh) {
  std::int64_t num_strikes = 0;
  for (const Kind& kind : kKinds) {
    for (std::int64_t index = 0;; ++index) {
      auto place = fresh();
      FaultingIo io(*place.io, {{}, index, kind.number, kind.is_persistent, kind.takes_effect});
      try {
        perform(work, io, place.root);
      } catch (const SimulatedCrash&) {
      } catch (const Error&) {
      }
      if (!io.has_struck()) break;
      ++num_strikes;
      const std::string what = std::string(kind.name) + " at call " + std::to_string(index) + ", " +
                               std::string(io_call_name(io.calls()[static_cast<std::size_t>(index)]));
      expect_old_or_new(*place.io, place.root, what);
      if (::testing::Test::HasFatalFailure()) return num_strikes;
      expect_can_go_on(*place.io, place.root, what);
      if (::testing::Test::HasFatalFailure()) return num_strikes;
    }
  }
  return num_strikes;
}

struct MemoryPlace {
  std::unique_ptr<RecordingIo> io;
  std::filesystem::path root = "/root";
};

class EveryCall : public ::testing::TestWithParam<Work> {};

TEST_P(EveryCall, InMemory) {
  RecordingIo prepared;
  prepare(prepared, "/root");
  const auto num_strikes = strike_every_call(GetParam(), [&] {
    return MemoryPlace{prepared.copy(), "/root"};
  });
  EXPECT_GT(num_strikes, 8 * 20);
  RecordProperty("strikes", static_cast<int>(num_strikes));
}

INSTANTIATE_TEST_SUITE_P(Works, EveryCall, ::testing::Values(Work::save, Work::deletion, Work::recovery));

TEST(EveryCallOnDisk, CrashInASave) {
  RealIo real;
  TemporaryFolder folder;
  prepare(real, folder.path() / "prepared");
  struct Place {
    RealIo* io;
    std::filesystem::path root;
  };
  int count = 0;
  const auto fresh = [&] {
    const auto root = folder.path() / std::to_string(count++);
    std::filesystem::copy(folder.path() / "prepared", root, std::filesystem::copy_options::recursive);
    return Place{&real, root};
  };
  EXPECT_GT(strike_every_call(Work::save, fresh), 8 * 20);
}

/// Power loss: the work runs up to a call, then the disk is left in a legal state.
TEST(PowerLoss, EveryImageHoldsTheOldOrTheNewCheckpoint) {
  const std::int64_t num_images = trials("SWITCHYARD_CRASH_IMAGES", 10000);
  RecordingIo prepared;
  prepare(prepared, "/root");
  constexpr Work kWorks[] = {Work::save, Work::deletion, Work::recovery};
  std::map<Work, std::int64_t> num_calls;
  for (const Work work : kWorks) {
    const auto disk = prepared.copy();
    FaultingIo io(*disk);
    perform(work, io, "/root");
    num_calls[work] = io.num_calls();
  }
  std::map<std::int64_t, std::int64_t> found;
  for (std::int64_t image = 0; image < num_images; ++image) {
    const Work work = kWorks[image % 3];
    // One beyond the last call: the power fails after the work.
    const std::int64_t index = (image / 3) % (num_calls[work] + 1);
    const auto disk = prepared.copy();
    FaultingIo io(*disk, {{}, index, 0, true, image % 2 == 0});
    try {
      perform(work, io, "/root");
    } catch (const SimulatedCrash&) {
    }
    const auto after = disk->crash_image(static_cast<std::uint64_t>(image));
    const std::string what = "image " + std::to_string(image) + " of work " +
                             std::to_string(static_cast<int>(work)) + ", call " + std::to_string(index);
    expect_old_or_new(*after, "/root", what);
    if (HasFatalFailure()) return;
    // Work that returned is durable: no power loss takes it back.
    const auto step = find_newest(*after, "/root", {"sample", true}).checkpoint->step;
    if (!io.has_struck() && work != Work::deletion) {
      ASSERT_EQ(step, 3) << what;
    }
    ++found[step];
    if (image % 10 == 0) expect_can_go_on(*after, "/root", what);
    if (HasFatalFailure()) return;
  }
  // Both outcomes must occur, or the images show nothing.
  EXPECT_GT(found[2], num_images / 100);
  EXPECT_GT(found[3], num_images / 100);
}

TEST(DiskFull, AnyCapacityLeavesOldCheckpointsAndSavesAgainWhenSpaceReturns) {
  const std::int64_t num_sizes = trials("SWITCHYARD_DISK_SIZES", 250);
  RecordingIo prepared;
  prepare(prepared, "/root");
  const std::int64_t used = (std::int64_t{1} << 40) - prepared.free_bytes("/");
  std::int64_t num_full = 0, num_saved = 0;
  for (std::int64_t i = 0; i < num_sizes; ++i) {
    const auto disk = prepared.copy();
    disk->set_capacity(used + i * 24 * 1024 / num_sizes);
    // The first half skips the check of free space: what it lets through must be caught by the reservation.
    const auto tensors = sample_tensors(3, kKilobytes);
    const auto parts = cut_at_random(tensors, 2, 3);
    const auto attempt = begin_attempt(*disk, "/root", {3, "job", "nonce", 0});
    try {
      std::vector<PartRecord> records;
      for (int p = 0; p < 2; ++p)
        records.push_back(write_part(*disk, attempt, p, parts[static_cast<std::size_t>(p)]));
      commit(*disk, attempt, sample_commit_spec(save_spec(3)), records);
      ++num_saved;
    } catch (const DiskError&) {
      ++num_full;
      EXPECT_TRUE(abandon(*disk, attempt));
    }
    expect_old_or_new(*disk, "/root", "capacity " + std::to_string(i));
    if (HasFatalFailure()) return;
    ASSERT_FALSE(verify_checkpoint(*disk, "/root/step-00000001", {}));
    disk->set_capacity(std::int64_t{1} << 40);
    expect_can_go_on(*disk, "/root", "capacity " + std::to_string(i));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(num_full, num_sizes / 10);
  EXPECT_GT(num_saved, num_sizes / 10);
}

}  // namespace
}  // namespace switchyard::data
