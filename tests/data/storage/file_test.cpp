#include "data/storage/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::HasSubstr;

TEST(InputFile, NamesWhatIsNoReadableFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { InputFile(folder / "absent"); }),
              HasSubstr((folder / "absent").string()));
  EXPECT_THAT(message_of<DataError>([&] { InputFile{folder.path()}; }), HasSubstr("a folder"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(message_of<DataError>([&] { InputFile(folder / "pipe"); }), HasSubstr("special"));
}

TEST(InputFile, ReadsExactlyOrSaysWhereTheFileEnded) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "0123456789");
  const InputFile file(folder / "a");
  std::string out(4, ' ');
  file.read_at(6, out.data(), 4);
  EXPECT_EQ(out, "6789");
  EXPECT_THAT(message_of<DataError>([&] { file.read_at(7, out.data(), 4); }), HasSubstr("got 3"));
}

TEST(MappedFile, RefusesAnEmptyFile) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "");
  EXPECT_THAT(message_of<DataError>([&] { MappedFile{InputFile(folder / "a")}; }), HasSubstr("empty"));
}

TEST(OutputFile, RefusesAnExistingName) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "precious");
  EXPECT_THROW(OutputFile(folder / "a"), DiskError);
  EXPECT_EQ(read_bytes(folder / "a"), "precious");
}

TEST(WriteFileAtomically, ReplacesWholeAndLeavesNothingElse) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "old");
  write_bytes(folder / ".a.partial", "left by a crash");
  write_file_atomically(folder / "a", "new contents");
  EXPECT_EQ(read_bytes(folder / "a"), "new contents");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"a"});
}

TEST(WriteFileAtomically, LeavesNothingWhereItCannotRename) {
  const TemporaryFolder folder;
  write_bytes(folder / "a" / "inside", "x");  // a folder of that name cannot be replaced by a file
  EXPECT_THROW(write_file_atomically(folder / "a", "new"), DiskError);
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"a"});
}

TEST(ReadWholeFile, KeepsTheLimit) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "12345");
  EXPECT_EQ(read_whole_file(folder / "a", 5), "12345");
  EXPECT_THAT(message_of<DataError>([&] { read_whole_file(folder / "a", 4); }), HasSubstr("at most 4"));
}

}  // namespace
}  // namespace switchyard::data
