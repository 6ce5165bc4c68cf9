#include "data/storage/staging_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using Names = std::set<std::string>;

TEST(StagingFolder, AppearsWholeAtCommit) {
  const TemporaryFolder folder;
  StagingFolder staging(folder / "out");
  write_bytes(staging.path() / "a", "1");
  EXPECT_EQ(names_in(folder.path()), Names{".out.partial"});
  staging.commit(false);
  EXPECT_EQ(names_in(folder.path()), Names{"out"});
  EXPECT_EQ(read_bytes(folder / "out" / "a"), "1");
}

TEST(StagingFolder, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  {
    const StagingFolder staging(folder / "out");
    write_bytes(staging.path() / "a", "1");
  }
  EXPECT_EQ(names_in(folder.path()), Names{});
}

TEST(StagingFolder, ClearsWhatADeadProcessLeft) {
  const TemporaryFolder folder;
  write_bytes(folder / ".out.partial" / "deep" / "stale", "1");
  StagingFolder staging(folder / "out");
  EXPECT_EQ(names_in(staging.path()), Names{});
}

TEST(StagingFolder, RefusesASecondWriterWhileTheFirstLives) {
  const TemporaryFolder folder;
  const StagingFolder first(folder / "out");
  write_bytes(first.path() / "a", "1");
  EXPECT_THAT(message_of<UserError>([&] { StagingFolder(folder / "out"); }),
              testing::HasSubstr("one process"));
  EXPECT_EQ(names_in(first.path()), Names{"a"});
}

TEST(StagingFolder, ReplacesOnlyWhenToldTo) {
  const TemporaryFolder folder;
  write_bytes(folder / "out" / "old", "1");
  {
    StagingFolder staging(folder / "out");
    write_bytes(staging.path() / "new", "2");
    EXPECT_THROW(staging.commit(false), UserError);
  }
  EXPECT_EQ(names_in(folder / "out"), Names{"old"});
  StagingFolder staging(folder / "out/");  // a trailing slash names the same folder
  write_bytes(staging.path() / "new", "2");
  staging.commit(true);
  EXPECT_EQ(names_in(folder / "out"), Names{"new"});
  EXPECT_EQ(names_in(folder.path()), Names{"out"});
}

}  // namespace
}  // namespace switchyard::data
