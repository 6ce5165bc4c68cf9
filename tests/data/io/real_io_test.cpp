// The kernel's file system, and kernels that interrupt, cut short and refuse.
#include "data/io/real_io.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

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

/// A kernel whose named call fails once with a number; a number of 0 stands for a count of 0.
class RefusingIo : public RealIo {
 public:
  RefusingIo(IoCall call, int number) : call_(call), number_(number) {}
  void be_impatient() { lock_patience_ = std::chrono::milliseconds(50); }
  int tries() const { return tries_; }

 protected:
  bool refuses(IoCall call) {
    if (call != call_) return false;
    errno = number_;
    return tries_++ == 0 || number_ == EWOULDBLOCK;
  }
  ssize_t system_pwrite(int d, const void* bytes, std::size_t size, off_t offset) override {
    if (refuses(IoCall::write)) return number_ == 0 ? 0 : -1;
    return RealIo::system_pwrite(d, bytes, size, offset);
  }
  ssize_t system_pread(int d, void* bytes, std::size_t size, off_t offset) override {
    return refuses(IoCall::read) ? -1 : RealIo::system_pread(d, bytes, size, offset);
  }
  int system_fallocate(int d, off_t size) override {
    return refuses(IoCall::preallocate) ? -1 : RealIo::system_fallocate(d, size);
  }
  int system_fdatasync(int d) override {
    return refuses(IoCall::sync_file) ? -1 : RealIo::system_fdatasync(d);
  }
  int system_fsync(int d) override { return refuses(IoCall::sync_folder) ? -1 : RealIo::system_fsync(d); }
  int system_close(int d) override {
    const int result = RealIo::system_close(d);
    return refuses(IoCall::close) ? -1 : result;
  }
  int system_flock(int d) override { return refuses(IoCall::lock) ? -1 : RealIo::system_flock(d); }

 private:
  IoCall call_;
  int number_, tries_ = 0;
};

/// Makes a file of one byte through every call; the errno of the failure, 0 if all went well.
int use(RefusingIo& io, const std::filesystem::path& folder) {
  try {
    File lock(io, io.lock(folder / "lock"));
    File file(io, io.create(folder / "a"));
    file.preallocate(1);
    file.write(0, "x", 1);
    file.sync();
    char byte = 0;
    EXPECT_EQ(file.read(0, &byte, 1), 1U);
    file.close();
    io.sync_folder(folder);
  } catch (const IoFailure& failure) {
    return failure.number;
  }
  EXPECT_EQ(read_whole_file(io, folder / "a", FolderLink::refused, 10), "x");
  return 0;
}

TEST(RealIo, ReportsWhatTheKernelRefusesAndPassesOverWhatItOnlyCannotDo) {
  struct Case {
    IoCall call;
    int number, reported;
  };
  for (const Case& refused : {Case{IoCall::write, 0, ENOSPC},
                              {IoCall::write, EIO, EIO},
                              {IoCall::read, EIO, EIO},
                              {IoCall::preallocate, ENOSPC, ENOSPC},
                              {IoCall::preallocate, EOPNOTSUPP, 0},
                              {IoCall::preallocate, ENOSYS, 0},
                              {IoCall::sync_file, EIO, EIO},
                              {IoCall::sync_folder, EIO, EIO},
                              {IoCall::sync_folder, EINVAL, 0},
                              {IoCall::sync_folder, EINTR, 0},
                              {IoCall::close, ENOSPC, ENOSPC},
                              {IoCall::close, EINTR, 0},
                              {IoCall::lock, EIO, EIO},
                              {IoCall::lock, EINTR, 0},
                              {IoCall::lock, ENOLCK, 0},
                              {IoCall::lock, EOPNOTSUPP, 0},
                              {IoCall::lock, ENOSYS, 0}}) {
    TemporaryFolder folder;
    RefusingIo io(refused.call, refused.number);
    EXPECT_EQ(use(io, folder.path()), refused.reported)
        << io_call_name(refused.call) << ", " << refused.number;
    EXPECT_GT(io.tries(), 0);
  }
}

TEST(RealIo, WaitsForALockThatAnotherHoldsButNotForEver) {
  TemporaryFolder folder;
  RefusingIo io(IoCall::lock, EWOULDBLOCK);
  io.be_impatient();
  EXPECT_EQ(use(io, folder.path()), EWOULDBLOCK);
  EXPECT_GT(io.tries(), 1);
  EXPECT_LT(io.tries(), 200) << "a pause between two tries, and an end";
}

TEST(RealIo, NamesThatNoFileSystemTakesAreReported) {
  TemporaryFolder folder;
  RealIo io;
  const auto long_name = folder.path() / std::string(300, 'x');
  const auto number_of = [](auto call) {
    try {
      call();
    } catch (const FileIoError& error) {
      EXPECT_THAT(error.what(), HasSubstr("file: "));
      return error.number;
    }
    return 0;
  };
  EXPECT_EQ(number_of([&] { io.stat(long_name); }), ENAMETOOLONG);
  EXPECT_EQ(number_of([&] { io.lock(folder.path()); }), EISDIR);
  EXPECT_EQ(number_of([&] { io.free_bytes(folder.path() / "absent"); }), ENOENT);
}

TEST(RealIo, TakesNamesWithoutAFolderFromTheWorkingFolder) {
  TemporaryFolder folder;
  RealIo io;
  write_whole_file(io, folder.path() / "a", "x");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  EXPECT_EQ(read_whole_file(io, "a", FolderLink::refused, 10), "x");
  std::filesystem::current_path(before);
}

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
  GTEST_SKIP() << "the undefined-behaviour sanitizer opens a pipe to look at an object, so it needs the "
                  "descriptors too";
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

}  // namespace
}  // namespace switchyard::data
