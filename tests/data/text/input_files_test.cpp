#include "data/text/input_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "kernels/runtime/error.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names(const TextFiles& files, const TemporaryFolder& root) {
  std::vector<std::string> found;
  for (const TextFile& file : files.files)
    found.push_back(file.path.lexically_relative(root.path()).string());
  return found;
}

TextFiles list(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& excluded = {}) {
  return list_text_files(inputs, excluded);
}

TEST(ListTextFiles, SortsFoldersByBytesAndKeepsTheOrderOfInputs) {
  const TemporaryFolder root;
  for (const char* name :
       {"b/z.txt", "b/Z.md", "b/sub/x", "b/a.jsonl", "b/.hidden", "b/.git/config", "first.txt"})
    write_bytes(root / name, "12");
  const TextFiles files = list({root / "first.txt", root / "b"});
  EXPECT_THAT(names(files, root), ElementsAre("first.txt", "b/Z.md", "b/a.jsonl", "b/sub/x", "b/z.txt"));
  EXPECT_EQ(files.total_bytes, 10U);
  EXPECT_EQ(files.num_skipped, 2U);
  EXPECT_EQ(files.files[2].kind, TextKind::json_lines);
  EXPECT_EQ(files.files[1].kind, TextKind::document);
}

TEST(ListTextFiles, EndsInLoopsOfLinks) {
  const TemporaryFolder root;
  write_bytes(root / "a/text", "1");
  std::filesystem::create_directory_symlink(root.path(), root / "a/up");
  std::filesystem::create_directory_symlink(root / "a", root / "a/self");
  std::filesystem::create_symlink(root / "nowhere", root / "a/broken");
  ASSERT_EQ(::mkfifo((root / "a/pipe").c_str(), 0600), 0);
  const TextFiles files = list({root.path()});
  EXPECT_THAT(names(files, root), ElementsAre("a/text"));
  EXPECT_EQ(files.num_skipped, 2U);
}

TEST(ListTextFiles, LeavesTheOutputOut) {
  const TemporaryFolder root;
  write_bytes(root / "a.txt", "1");
  write_bytes(root / "out/train-00000", "1");
  EXPECT_THAT(names(list({root.path()}, root / "out"), root), ElementsAre("a.txt"));
}

TEST(ListTextFiles, RefusesWhatIsNotText) {
  const TemporaryFolder root;
  EXPECT_THROW(list({}), UserError);
  EXPECT_THAT(message_of<DataError>([&] { list({root / "absent.txt"}); }), HasSubstr("absent.txt"));
  write_bytes(root / "a.jsonl.gz", "x");
  EXPECT_THAT(message_of<DataError>([&] { list({root / "a.jsonl.gz"}); }), HasSubstr("unpack"));
}

}  // namespace
}  // namespace switchyard::data
