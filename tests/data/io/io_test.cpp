#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
TEST_P(AnyIo, CallsOfTheWrongKindAndOnClosedFilesAreRefused) {
  const auto f = root_ / "f", a = f / "a", absent = root_ / "absent";
  write_whole_file(io(), a, "hello");
  EXPECT_EQ(number_of([&] { io().create(a / "b"); }), ENOTDIR);
  EXPECT_EQ(number_of([&] { io().make_folder(a / "b"); }), ENOTDIR);
  EXPECT_EQ(number_of([&] { io().list(a); }), ENOTDIR);
  EXPECT_EQ(number_of([&] { io().sync_folder(a); }), ENOTDIR);
  EXPECT_EQ(number_of([&] { io().remove_folder(a); }), ENOTDIR);
  EXPECT_EQ(number_of([&] { io().remove_folder(absent); }), ENOENT);
  EXPECT_EQ(number_of([&] { io().unlink(f); }), EISDIR);
  EXPECT_EQ(number_of([&] { io().lock(absent / "lock"); }), ENOENT);
  EXPECT_EQ(io().stat(a / "b").kind, EntryKind::absent);
  EXPECT_EQ(io().stat(f / "." / "a").kind, EntryKind::file);
  EXPECT_EQ(io().stat(f / "").kind, EntryKind::folder);
  write_whole_file(io(), f / "new", "new");
  io().rename(f / "new", a);
  EXPECT_THAT(io().list(f), ElementsAre("a")) << "the file in the way is replaced";
  EXPECT_EQ(read_whole_file(io(), a, FolderLink::refused, 5), "new");
  for (int again = 0; again < 2; ++again) File(io(), io().lock(f / "lock"));
  io().unlink(f / "lock");
  const OpenFile closed{-1, a};
  char byte = 0;
  EXPECT_EQ(number_of([&] { io().write(closed, 0, "x", 1); }), EBADF);
  EXPECT_EQ(number_of([&] { io().read(closed, 0, &byte, 1); }), EBADF);
  EXPECT_EQ(number_of([&] { io().size_bytes(closed); }), EBADF);
  EXPECT_EQ(number_of([&] { io().preallocate(closed, 1); }), EBADF);
  EXPECT_EQ(number_of([&] { io().sync_file(closed); }), EBADF);
  EXPECT_EQ(number_of([&] { io().close(closed); }), EBADF);
  File file(io(), io().create(f / "b"));
  file.preallocate(0);
  file.write(0, "", 0);
  EXPECT_EQ(file.size_bytes(), 0);
  EXPECT_EQ(read_whole_file(io(), a, FolderLink::refused, 5), "new") << "untouched";
}
INSTANTIATE_TEST_SUITE_P(Kernel, AnyIo, ::testing::Values(true));
INSTANTIATE_TEST_SUITE_P(Model, AnyIo, ::testing::Values(false));

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
  File file(disk, disk.create("/h"));
  EXPECT_THROW(crashing.close(file.open_file()), SimulatedCrash);
  EXPECT_THROW(disk.size_bytes(file.open_file()), FileIoError) << "the kernel closes the files of the dead";
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

/// The listings of a folder after 500 power losses.
std::set<std::string> listings(const RecordingIo& disk) {
  std::set<std::string> found;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    std::string listing;
    for (const auto& name : disk.crash_image(seed)->list("/")) listing += name + " ";
    found.insert(listing);
  }
  return found;
}

TEST(RecordingIo, AChangeOfANameThatRestsOnALostOneIsLostWithIt) {
  RecordingIo renamed;
  write_whole_file(renamed, "/a", "x");
  renamed.rename("/a", "/b");
  EXPECT_THAT(listings(renamed), ElementsAre("", "a ", "b "));

  RecordingIo folders;
  folders.make_folder("/f");
  folders.make_folder("/g");
  folders.sync_folder("/");
  folders.rename("/g", "/h");
  folders.rename("/f", "/g");
  EXPECT_THAT(listings(folders), ElementsAre("f g ", "f h ", "g h ")) << "a folder takes no other's place";

  RecordingIo replaced;
  write_whole_file(replaced, "/a", "old");
  replaced.sync_folder("/");
  replaced.unlink("/a");
  write_whole_file(replaced, "/a", "new");
  std::set<std::string> contents;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const auto image = replaced.crash_image(seed);
    contents.insert(image->stat("/a").kind == EntryKind::file ? image->contents("/a") : "none");
  }
  EXPECT_THAT(contents, ElementsAre("new", "none", "old"));
}

TEST(RecordingIo, ContentsAreOfFilesOnly) {
  RecordingIo disk;
  disk.make_folder("/f");
  EXPECT_THROW(disk.contents("/f"), FileIoError);
  EXPECT_THROW(disk.contents("/g"), FileIoError);
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
