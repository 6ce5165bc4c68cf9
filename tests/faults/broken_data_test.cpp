// Data that cannot be used: exit code 3, the file (and block) named, nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <set>

#include "tests/data/support/prepared_folder.h"
#include "tests/support/workshop.h"

namespace switchyard::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kShard = "data/train-00000.h5";

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

class BrokenData : public testing::Test {
 protected:
  /// `prepare TEXT --output made` is refused, names what `message` does, and leaves the folder as it was.
  void expect_prepare_refused(const std::vector<std::string>& inputs,
                              const testing::Matcher<std::string>& message) {
    const std::set<std::string> before = names_in(workshop_.folder().path());
    std::vector<std::string> words = {"prepare"};
    words.insert(words.end(), inputs.begin(), inputs.end());
    words.insert(words.end(), {"--output", "made"});
    const Outcome outcome = workshop_.run(words);
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, message);
    EXPECT_EQ(names_in(workshop_.folder().path()), before);
  }
  /// Training is refused before it has written any step or checkpoint.
  void expect_train_refused(const testing::Matcher<std::string>& message,
                            const std::vector<std::string>& settings = {}) {
    const Outcome outcome = workshop_.run(Workshop::train("run", settings));
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_THAT(outcome.err, message);
    EXPECT_THAT(outcome.err, HasSubstr("switchyard train: the data cannot be used (exit code 3)"));
    EXPECT_EQ(workshop_.steps("run").size(), 0U);
    std::error_code ignored;
    for (const auto& entry :
         std::filesystem::directory_iterator(workshop_.run_folder("run") / "checkpoints", ignored))
      EXPECT_FALSE(entry.is_directory()) << entry.path();
  }
  void flip_bit(const std::string& file, std::size_t byte) {
    std::string bytes = read_file(workshop_ / file);
    ASSERT_LT(byte, bytes.size());
    bytes[byte] = static_cast<char>(bytes[byte] ^ 4);
    write_file(workshop_ / file, bytes);
  }
  Workshop workshop_;
};

TEST_F(BrokenData, MissingTextAndMissingFolder) {
  expect_prepare_refused({"text/99.txt"}, HasSubstr("text/99.txt"));
  expect_train_refused(HasSubstr("'nowhere'"), {"data.train=nowhere"});
}

TEST_F(BrokenData, EmptyText) {
  write_file(workshop_ / "empty.txt", "");
  expect_prepare_refused({"empty.txt"}, HasSubstr("must hold text"));
}

TEST_F(BrokenData, InvalidUtf8) {
  write_file(workshop_ / "latin.txt",
             "Stra\xDF"
             "e, not UTF-8\n");
  expect_prepare_refused({"text/00.txt", "latin.txt"},
                         AllOf(HasSubstr("latin.txt"), HasSubstr("0xdf at byte 4")));
}

TEST_F(BrokenData, BrokenJsonLine) {
  write_file(workshop_ / "lines.jsonl", "{\"text\": \"good\"}\n{\"text\": \n");
  expect_prepare_refused({"lines.jsonl"}, HasSubstr("lines.jsonl:2"));
}

TEST_F(BrokenData, TruncatedShard) {
  std::filesystem::resize_file(workshop_ / kShard, std::filesystem::file_size(workshop_ / kShard) - 100);
  expect_train_refused(AllOf(HasSubstr(kShard), HasSubstr("cut short")));
}

TEST_F(BrokenData, FlippedBitInTokens) {
  flip_bit(kShard, 6000);
  expect_train_refused(AllOf(HasSubstr(kShard), HasSubstr("token block 0")));
  const Outcome outcome = workshop_.run({"inspect", kShard});
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("1 damaged"), HasSubstr("token block 0")));
}

TEST_F(BrokenData, FlippedBitInMetadata) {
  flip_bit(kShard, 700);
  expect_train_refused(AllOf(HasSubstr(kShard), HasSubstr("metadata")));
  EXPECT_EQ(workshop_.run({"inspect", kShard}).code, 3);
}

TEST_F(BrokenData, FlippedBitInManifest) {
  flip_bit("data/manifest.json", 300);
  expect_train_refused(HasSubstr("data/manifest.json"));
}

TEST_F(BrokenData, OtherTokenizer) {
  ASSERT_EQ(workshop_.run(Workshop::train("trained", {"train.steps=5"})).code, 0);
  const data::WideTokenizer wide(1000);
  data::write_prepared(workshop_ / "wide", {data::some_tokens(4000, 1000)}, 10'000, wide);
  const Outcome outcome = workshop_.run({"evaluate", "runs/trained", "--data", "wide", "--split", "train"});
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("wide"), HasSubstr("tokenizer")));
  std::filesystem::copy_file(workshop_ / "wide/train-00000.h5", workshop_ / kShard,
                             std::filesystem::copy_options::overwrite_existing);
  expect_train_refused(HasSubstr(kShard));
}

TEST_F(BrokenData, OtherHdf5File) {
  const std::string path = workshop_ / kShard;
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  H5Fclose(file);
  expect_train_refused(HasSubstr(kShard));
  const Outcome outcome = workshop_.run({"inspect", kShard});
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(kShard));
}

TEST_F(BrokenData, ShardOfTheOtherSplit) {
  std::filesystem::copy_file(workshop_ / "data/validation-00000.h5", workshop_ / kShard,
                             std::filesystem::copy_options::overwrite_existing);
  expect_train_refused(HasSubstr(kShard));
}

}  // namespace
}  // namespace switchyard::test
