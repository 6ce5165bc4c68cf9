// Disks that refuse: exit code 5, and what was whole stays whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::HasSubstr;

/// A file system of a given size; needs root.
class SmallDisk {
 public:
  SmallDisk(std::filesystem::path folder, const std::string& size) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
    is_mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
    if (!is_mounted_) failure_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (is_mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool is_mounted() const { return is_mounted_; }
  const std::string& failure() const { return failure_; }

 private:
  std::filesystem::path folder_;
  bool is_mounted_ = false;
  std::string failure_;
};

TEST(Disk, RunFolderThatCannotBeMade) {
  const Workshop workshop;
  const Outcome outcome = workshop.run(Workshop::train("run", {"run.directory=tiny.yaml/run"}));
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("tiny.yaml/run"));
  EXPECT_THAT(outcome.err, HasSubstr("What to do: "));
}

TEST(Disk, FullWhileTraining) {
  const Workshop workshop;
  const SmallDisk disk(workshop / "small", "1m");
  if (!disk.is_mounted()) GTEST_SKIP() << "cannot mount a small file system: " << disk.failure();
  // One checkpoint of this model takes about 0.6 MB: the first fits, the second does not.
  const Outcome outcome = workshop.run(Workshop::train("run", {"run.directory=small/run"}));
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("the last checkpoint could not be written"));
  EXPECT_EQ(workshop.digest("small/run").empty(), false) << "the first checkpoint stays";
  for (const auto& entry : std::filesystem::directory_iterator(workshop / "small/run/checkpoints")) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name == "step-00000010" || name == ".run.guard") << name;
  }
}

TEST(Disk, FullWhilePreparing) {
  const Workshop workshop;
  const SmallDisk disk(workshop / "small", "32k");
  if (!disk.is_mounted()) GTEST_SKIP() << "cannot mount a small file system: " << disk.failure();
  const Outcome outcome = workshop.run({"prepare", "text", "--output", "small/data"});
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_TRUE(std::filesystem::is_empty(workshop / "small"));
}

}  // namespace
}  // namespace switchyard::test
