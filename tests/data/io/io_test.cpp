#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "data/io/recording_io.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A kernel that interrupts every second call and moves at most three bytes at a time.
class StutteringIo : public RealIo {
 protected:
  bool interrupts() {
    errno = EINTR;
    return ++count_ % 2 == 1;
  }
  ssize_t system_pwrite(int d, const void* bytes, std::size_t size, off_t offset) override {
    return interrupts() ? -1 : RealIo::system_pwrite(d, bytes, std::min<std::size_t>(size, 3), offset);
  }
  ssize_t system_pread(int d, void* bytes, std::size_t size, off_t offset) override {
    return interrupts() ? -1 : RealIo::system_pread(d, bytes, std::min<std::size_t>(size, 3), offset);
  }
  int system_fallocate(int d, off_t size) override {
    return interrupts() ? -1 : RealIo::system_fallocate(d, size);
  }
  int system_fdatasync(int d) override { return interrupts() ? -1 : RealIo::system_fdatasync(d); }

 private:
  int count_ = 0;
};

TEST(RealIo, ShortCountsAndInterruptionsDoNotShow) {
  TemporaryFolder folder;
  StutteringIo io;
  File file(io, io.create(folder.path() / "a"));
  file.preallocate(20);
  file.write(0, "0123456789abcdefghij", 20);
  file.sync();
  file.close();
  EXPECT_EQ(read_whole_file(io, folder.path() / "a", FolderLink::refused, 100), "0123456789abcdefghij");
}

/// What each kind of call must do on the kernel's file system and on the model alike.
class AnyIo : public ::testing::TestWithParam<bool> {
 protected:
  AnyIo() {
    if (GetParam()) root_ = folder_.path();
    io().make_folder(root_ / "f");
  }
  Io& io() { return GetParam() ? static_cast<Io&>(real_) : memory_; }
  template <typename Call>
  int number_of(Call call) {
    try {
      call();
    } catch (const IoFailure& failure) {
      return failure.number;
    }
    return 0;
  }
  TemporaryFolder folder_;
  RealIo real_;
  RecordingIo memory_;
  std::filesystem::path root_ = "/";
};

TEST_P(AnyIo, CallsDoWhatTheySay) {
  const auto a = root_ / "f" / "a";
  write_whole_file(io(), a, "hello");
  EXPECT_EQ(io().stat(a).size_bytes, 5);
  EXPECT_EQ(io().stat(a).kind, EntryKind::file);
  EXPECT_EQ(io().stat(root_ / "f").kind, EntryKind::folder);
  EXPECT_EQ(io().stat(root_ / "g").kind, EntryKind::absent);
  EXPECT_EQ(number_of([&] { io().create(a); }), EEXIST);
  EXPECT_EQ(number_of([&] { io().create(root_ / "g" / "a"); }), ENOENT);
  EXPECT_EQ(number_of([&] { io().open_read(root_ / "g", FolderLink::refused); }), ENOENT);
  EXPECT_EQ(number_of([&] { io().open_read(root_ / "f", FolderLink::refused); }), EISDIR);
  EXPECT_EQ(number_of([&] { io().make_folder(root_ / "f"); }), EEXIST);
  EXPECT_EQ(number_of([&] { io().remove_folder(root_ / "f"); }), ENOTEMPTY);
  EXPECT_EQ(number_of([&] { io().unlink(root_ / "g"); }), ENOENT);
  EXPECT_EQ(number_of([&] { io().list(root_ / "g"); }), ENOENT);
  EXPECT_EQ(number_of([&] { io().sync_folder(root_ / "g"); }), ENOENT);
  EXPECT_EQ(number_of([&] { io().rename(root_ / "g", root_ / "h"); }), ENOENT);
  io().make_folder(root_ / "h");
  EXPECT_EQ(number_of([&] { io().rename(root_ / "h", root_ / "f"); }), ENOTEMPTY);
  io().rename(root_ / "f", root_ / "g");
  EXPECT_THAT(io().list(root_ / "g"), ElementsAre("a"));
  {
    File file(io(), io().open_read(root_ / "g" / "a", FolderLink::refused));
    std::string bytes(10, '\0');
    EXPECT_EQ(file.read(3, bytes.data(), 10), 2U);
    EXPECT_EQ(bytes.substr(0, 2), "lo");
    EXPECT_EQ(file.read(9, bytes.data(), 10), 0U);
  }
  EXPECT_THROW(read_whole_file(io(), root_ / "g" / "a", FolderLink::refused, 4), DataError);
  io().sync_folder(root_ / "g");
  io().unlink(root_ / "g" / "a");
  io().remove_folder(root_ / "g");
  EXPECT_GT(io().free_bytes(root_), 0);
  File lock(io(), io().lock(root_ / "lock"));
  EXPECT_EQ(io().stat(root_ / "lock").kind, EntryKind::file);
  lock.close();
}
INSTANTIATE_TEST_SUITE_P(Kernel, AnyIo, ::testing::Values(true));
INSTANTIATE_TEST_SUITE_P(Model, AnyIo, ::testing::Values(false));

TEST(RealIo, FollowsNoLinkToAFileAndNoneToItsFolderUnlessTold) {
  namespace fs = std::filesystem;
  TemporaryFolder folder;
  RealIo io;
  fs::create_directory(folder.path() / "f");
  write_whole_file(io, folder.path() / "f" / "a", "x");
  fs::create_symlink("a", folder.path() / "f" / "link");
  fs::create_directory_symlink("f", folder.path() / "g");
  const auto open = [&](const char* path, FolderLink link) {
    File(io, io.open_read(folder.path() / path, link));
  };
  EXPECT_NO_THROW(open("f/a", FolderLink::refused));
  EXPECT_THROW(open("f/link", FolderLink::followed), FileIoError);
  EXPECT_THROW(open("g/a", FolderLink::refused), FileIoError);
  EXPECT_NO_THROW(open("g/a", FolderLink::followed));
  EXPECT_EQ(io.stat(folder.path() / "g").kind, EntryKind::link);
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(io.stat(folder.path() / "pipe").kind, EntryKind::other);
  EXPECT_THROW(open("pipe", FolderLink::followed), FileIoError) << "and does not wait for a writer";
}

TEST(RealIo, RunningOutOfDescriptorsNamesTheLimit) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the undefined-behaviour sanitizer opens a pipe to look at an object, so it needs the descriptors too";
#endif
  TemporaryFolder folder;
  RealIo io;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 16;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<File> files;
  std::string message;
  try {
    for (int i = 0; i < 20; ++i) files.emplace_back(io, io.create(folder.path() / std::to_string(i)));
  } catch (const UserError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(message, HasSubstr("ulimit -n"));
}

TEST(IoFailures, AreDiskErrorsOrUserErrorsAndNameCallAndPath) {
  for (const int number : {ENOSPC, EDQUOT, EROFS, EIO, EFBIG, ESTALE, ENODEV, ENXIO, ETIMEDOUT, EREMOTEIO}) {
    try {
      throw_io_failure(IoCall::sync_file, "/a/b", number);
    } catch (const DiskError& error) {
      EXPECT_THAT(error.what(), HasSubstr("fdatasync of '/a/b' failed: "));
    }
  }
  for (const int number : {ENOENT, EACCES, ELOOP, EMFILE, EEXIST})
    EXPECT_THROW(throw_io_failure(IoCall::create, "/a", number), UserError);
  std::set<std::string_view> names;
  for (int call = 0; call <= static_cast<int>(IoCall::lock); ++call)
    names.insert(io_call_name(static_cast<IoCall>(call)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(IoCall::lock) + 1) << "each call has its own name";
}

TEST(FaultingIo, FailsTheCallItIsToldTo) {
  RecordingIo disk;
  FaultingIo io(disk, {IoCall::make_folder, 1, EIO, false, false});
  io.make_folder("/a");
  EXPECT_THROW(io.make_folder("/b"), DiskError);
  io.make_folder("/c");
  EXPECT_THAT(disk.list("/"), ElementsAre("a", "c"));
  FaultingIo lasting(disk, {IoCall::unlink, 0, EROFS, true, true});
  write_whole_file(lasting, "/d", "x");
  EXPECT_THROW(lasting.unlink("/d"), DiskError);
  EXPECT_EQ(disk.stat("/d").kind, EntryKind::absent) << "it took effect";
  EXPECT_THROW(lasting.unlink("/e"), Error);
  FaultingIo crashing(disk, {{}, 1, 0, false, false});
  crashing.make_folder("/f");
  EXPECT_THROW(crashing.make_folder("/g"), SimulatedCrash);
  EXPECT_THROW(crashing.list("/"), SimulatedCrash) << "the dead do nothing";
  EXPECT_TRUE(crashing.has_struck());
  EXPECT_EQ(crashing.num_calls(), 2);
}

TEST(RecordingIo, ACrashTakesWhatWasNotSyncedAndNothingElse) {
  RecordingIo disk;
  disk.make_folder("/f");
  disk.sync_folder("/");
  write_whole_file(disk, "/f/durable", std::string(2000, 'a'));
  disk.sync_folder("/f");
  File file(disk, disk.create("/f/name"));
  file.write(0, std::string(2000, 'b').data(), 2000);
  disk.sync_folder("/f");                  // the name, not the data
  write_whole_file(disk, "/f/data", "c");  // the data, not the name
  disk.rename("/f/durable", "/f/renamed");
  std::set<std::string> listings, contents;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const auto image = disk.crash_image(seed);
    std::string listing;
    for (const auto& name : image->list("/f")) listing += name + " ";
    listings.insert(listing);
    contents.insert(image->contents("/f/name"));
    const bool is_renamed = image->stat("/f/renamed").kind == EntryKind::file;
    EXPECT_NE(is_renamed, image->stat("/f/durable").kind == EntryKind::file)
        << "one name, never none or both";
    EXPECT_EQ(image->contents(is_renamed ? "/f/renamed" : "/f/durable"), std::string(2000, 'a'));
    if (image->stat("/f/data").kind == EntryKind::file) {
      EXPECT_EQ(image->contents("/f/data"), "c");
    }
  }
  EXPECT_EQ(listings.size(), 4U) << "both unsynced changes, each kept or lost";
  EXPECT_EQ(contents.count(""), 1U);
  EXPECT_EQ(contents.count(std::string(2000, 'b')), 1U);
  EXPECT_EQ(contents.count(std::string(512, 'b') + std::string(1488, '\0')), 1U) << "torn at a sector";
  EXPECT_GT(contents.size(), 30U);
}

TEST(RecordingIo, AFullDiskRefusesToGrow) {
  RecordingIo disk(100);
  File file(disk, disk.create("/a"));
  EXPECT_THROW(file.preallocate(101), DiskError);
  file.preallocate(100);
  EXPECT_EQ(disk.free_bytes("/"), 0);
  EXPECT_THROW(file.write(99, "xx", 2), DiskError);
}

}  // namespace
}  // namespace switchyard::data
