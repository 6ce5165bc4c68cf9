// Files that change between two looks at them, and after they were verified.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "data/io/faulting_io.h"
#include "data/io/recording_io.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// A disk on which the parts become shorter between the look at their size and the reading.
class ShrinkingIo : public FaultingIo {
 public:
  using FaultingIo::FaultingIo;
  std::size_t read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) override {
    const std::size_t count = FaultingIo::read(file, offset, bytes, size);
    return file.path.extension() == ".safetensors" ? std::min<std::size_t>(count, 10) : count;
  }
};

TEST(UnsteadyDisk, APartThatShrinksWhileItIsReadIsRefused) {
  RecordingIo disk;
  const auto path = save_sample(disk, "/root", {7, 1, 1, "sample", 16});
  ShrinkingIo io(disk);
  const auto rejection = verify_checkpoint(io, path, {});
  ASSERT_TRUE(rejection);
  EXPECT_THAT(rejection->text(),
              HasSubstr("part-00000.safetensors: the file became shorter while it was read"));
  std::string out(16 * 128 * 4, '\0');
  CheckpointReader reader(io, path);
  EXPECT_THAT([&] { reader.read("embedding.weight", 0, 16 * 128, out.data()); },
              ThrowsMessage<CheckpointError>(HasSubstr("part-00000.safetensors, chunk 0")));
}

/// A disk on which a part grows after the first look at its size.
class GrowingIo : public FaultingIo {
 public:
  using FaultingIo::FaultingIo;
  std::int64_t size_bytes(const OpenFile& file) override {
    const std::int64_t size = FaultingIo::size_bytes(file);
    return file.path.extension() == ".safetensors" && looks_++ > 0 ? size + 1 : size;
  }

 private:
  int looks_ = 0;
};

TEST(UnsteadyDisk, APartThatGrowsAfterTheFirstLookIsRefused) {
  RecordingIo disk;
  const auto path = save_sample(disk, "/root", {7, 1, 1, "sample", 16});
  GrowingIo io(disk);
  const auto rejection = verify_checkpoint(io, path, {});
  ASSERT_TRUE(rejection);
  EXPECT_THAT(rejection->text(), HasSubstr("part-00000.safetensors, bytes ["));
  EXPECT_THAT(rejection->text(), HasSubstr("the file has the wrong size in bytes; expected "));
}

/// A folder whose listing still has a checkpoint that was withdrawn since.
class StaleListing : public FaultingIo {
 public:
  using FaultingIo::FaultingIo;
  std::vector<std::string> list(const std::filesystem::path& folder) override {
    auto names = FaultingIo::list(folder);
    names.emplace_back("step-00000009");
    return names;
  }
};

TEST(UnsteadyDisk, ACheckpointThatGoesWhileTheyAreListedIsNoCandidate) {
  RecordingIo disk;
  save_sample(disk, "/root", {7, 1, 1, "sample", 16});
  StaleListing io(disk);
  const Listing listing = list_checkpoints(io, "/root");
  ASSERT_EQ(listing.candidates.size(), 1U);
  EXPECT_EQ(listing.candidates[0].step, 7);
  EXPECT_TRUE(listing.refused.empty());
  EXPECT_TRUE(list_checkpoints(io, "/nowhere").candidates.empty());
}

TEST(UnsteadyDisk, ReaderNoticesDamageAfterVerification) {
  RecordingIo io;
  const auto path = save_sample(io, "/root", {7, 1, 1, "sample", 16});
  CheckpointReader reader(io, path);
  auto& bytes = io.contents(path / "part-00000.safetensors");
  bytes[bytes.size() - 1] = static_cast<char>(bytes[bytes.size() - 1] ^ 0x40);
  std::string out(16 * 128 * 4, '\0');
  EXPECT_THAT([&] { reader.read("embedding.weight", 0, 16 * 128, out.data()); },
              ThrowsMessage<CheckpointError>(HasSubstr("part-00000.safetensors, chunk 0, bytes [0, ")));
}

TEST(UnsteadyDisk, ADamagedChunkDoesNotTakeThePlaceOfAGoodOne) {
  RecordingIo io;
  constexpr int kKilobytes = 12'000;  // the embedding's 6 MB reach over a chunk's end
  const auto tensors = sample_tensors(7, kKilobytes);
  const std::vector<TensorSlice> whole = {
      {"a", DType::u8, {6'000'000}, 0, 6'000'000, tensors[0].bytes.data()}};
  const auto attempt = begin_attempt(io, "/root", {7, "job", "nonce", 0});
  const std::vector<PartRecord> parts = {write_part(io, attempt, 0, whole)};
  const auto path = commit(io, attempt, sample_commit_spec({7, 1, 1, "sample", kKilobytes}), parts);
  CheckpointReader reader(io, path);
  std::string bytes(100, '\0');
  reader.read("a", 1000, 1100, bytes.data());
  ASSERT_EQ(bytes, tensors[0].bytes.substr(1000, 100));
  io.contents(path / "part-00000.safetensors").back() ^= 1;
  EXPECT_THROW(reader.read("a", 5'000'000, 5'000'100, bytes.data()), CheckpointError);
  reader.read("a", 1000, 1100, bytes.data());
  EXPECT_EQ(bytes, tensors[0].bytes.substr(1000, 100)) << "the first chunk is still good";
}

}  // namespace
}  // namespace switchyard::data
