#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <set>

#include "data/io/faulting_io.h"
#include "data/io/real_io.h"
#include "data/io/recording_io.h"
#include "data/safetensors/header.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(CheckpointRoundTrip, EveryCutReadsBackAndHasOneDigest) {
  std::set<std::string> digests;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    RecordingIo io;
    const int num_parts = static_cast<int>(seed % 7) + 1;
    const auto path = save_sample(io, "/root", {5, num_parts, seed, "sample", 16});
    EXPECT_EQ(path.filename(), "step-00000005");
    EXPECT_FALSE(verify_checkpoint(io, path, {"sample", true}));
    EXPECT_EQ(difference_from_sample(io, path, 5), "");
    CheckpointReader reader(io, path);
    digests.insert(reader.tensor_digest().text());
    EXPECT_EQ(std::get<std::int64_t>(reader.state().at("seed")), -7);
    EXPECT_EQ(std::get<std::string>(reader.state().at("layout")), std::to_string(num_parts));
  }
  EXPECT_EQ(digests.size(), 1U);
}

TEST(CheckpointRoundTrip, DigestSeesEveryBitNameShapeAndContinuation) {
  std::set<std::string> digests;
  const auto digest_with = [&](auto change) {
    RecordingIo io;
    auto tensors = sample_tensors(5);
    CommitSpec spec = sample_commit_spec({5, 1, 1, "sample", 16});
    change(tensors, spec);
    io.make_folder("/root");
    const auto attempt = begin_attempt(io, "/root", {5, "job", "nonce", 0});
    const std::vector<PartRecord> parts = {write_part(io, attempt, 0, cut_at_random(tensors, 1, 3)[0])};
    CheckpointReader reader(io, commit(io, attempt, spec, parts));
    digests.insert(reader.tensor_digest().text());
  };
  digest_with([](auto&, auto&) {});
  digest_with(
      [](auto& tensors, auto&) { tensors[0].bytes.back() = static_cast<char>(tensors[0].bytes.back() ^ 1); });
  digest_with([](auto& tensors, auto&) { tensors[2].name += "x"; });
  digest_with([](auto& tensors, auto&) { tensors[3].shape = {64, 16}; });
  digest_with([](auto& tensors, auto&) { tensors[0].dtype = DType::u32; });
  digest_with([](auto&, auto& spec) { spec.state["seed"] = std::int64_t{8}; });
  digest_with([](auto&, auto& spec) { spec.state["seed"] = "-7"; });
  digest_with([](auto&, auto& spec) { spec.continuation = {"step"}; });
  EXPECT_EQ(digests.size(), 8U);
  // What does not decide how training goes on does not count.
  digest_with([](auto&, auto& spec) { spec.state["layout"] = "other"; });
  digest_with([](auto&, auto& spec) { spec.continuation = {"seed", "step", "seed"}; });
  EXPECT_EQ(digests.size(), 8U);
}

TEST(CheckpointRoundTrip, AnyRangeOfLargeTensorsAcrossChunksOnARealDisk) {
  TemporaryFolder folder;
  RealIo io;
  constexpr int kKilobytes = 20'000;  // tensors of 10 MB, 5 MB and 5 MB: several chunks each
  const auto path = save_sample(io, folder.path() / "checkpoints", {7, 3, 11, "sample", kKilobytes});
  EXPECT_FALSE(verify_checkpoint(io, path, {}));
  EXPECT_EQ(difference_from_sample(io, path, 7, kKilobytes), "");
  CheckpointReader reader(io, path);
  std::mt19937_64 random(3);
  for (const auto& tensor : sample_tensors(7, kKilobytes)) {
    const auto elements = static_cast<std::uint64_t>(*element_count(tensor.shape));
    const std::size_t size = dtype_size(tensor.dtype);
    for (int i = 0; i < 20 && elements > 0; ++i) {
      const std::uint64_t begin = random() % elements;
      const std::uint64_t end = begin + random() % (elements - begin + 1);
      std::string bytes((end - begin) * size, '\0');
      reader.read(tensor.name, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end),
                  bytes.data());
      ASSERT_TRUE(bytes == tensor.bytes.substr(begin * size, bytes.size())) << tensor.name << " " << begin;
    }
  }
  EXPECT_THAT([&] { reader.read("nobody", 0, 1, nullptr); },
              ThrowsMessage<CheckpointError>(HasSubstr("has no tensor 'nobody'")));
  using Range = std::pair<std::int64_t, std::int64_t>;
  for (const Range& range : {Range{0, 2}, Range{-1, 1}, Range{1, 0}})
    EXPECT_THAT([&] { reader.read("temperature", range.first, range.second, nullptr); },
                ThrowsMessage<CheckpointError>(
                    HasSubstr(fmt::format("has 1 elements; asked for [{}, {})", range.first, range.second))));
}

TEST(CheckpointRoundTrip, ReadsMorePartsThanItKeepsOpen) {
  RecordingIo io;
  constexpr int kParts = static_cast<int>(CheckpointReader::kOpenParts) + 3;
  const auto path = save_sample(io, "/root", {7, kParts, 1, "sample", 64});
  FaultingIo counting(io);
  const auto opened = [&] {
    return std::count(counting.calls().begin(), counting.calls().end(), IoCall::open_read);
  };
  CheckpointReader reader(counting, path);
  const std::string digest = reader.tensor_digest().text();
  const auto once = opened();
  EXPECT_GT(once, static_cast<std::ptrdiff_t>(CheckpointReader::kOpenParts));
  EXPECT_EQ(reader.tensor_digest().text(), digest);
  EXPECT_GT(opened(), once) << "what was closed is opened again";
}

TEST(CheckpointRoundTrip, TheLockIsNoDecoy) {
  RecordingIo io;
  save_sample(io, "/root", {7, 1, 1, "sample", 16});
  write_whole_file(io, "/root/run.lock", "x");
  write_whole_file(io, "/root/.run.guard", "x");
  EXPECT_TRUE(list_checkpoints(io, "/root").refused.empty());
}

TEST(CheckpointRoundTrip, OneThatWasMovedUnderAnotherNameStillVerifies) {
  RecordingIo io;
  save_sample(io, "/root", {7, 2, 1, "sample", 16});
  io.rename("/root/step-00000007", "/root/best");
  EXPECT_FALSE(verify_checkpoint(io, "/root/best", {}));
  EXPECT_EQ(difference_from_sample(io, "/root/best", 7), "");
}

TEST(CheckpointRoundTrip, APartThatEndsWithAChunkHasNoDigestForNothing) {
  RecordingIo io;
  std::string bytes(static_cast<std::size_t>(kChunkBytes), 'x');
  std::vector<TensorSlice> slices = {{"a", DType::u8, {0}, 0, 0, bytes.data()}};
  // Until header and data together fill the chunk: the header's length follows from the digits of the size.
  for (std::int64_t size = kChunkBytes - 8; part_file_bytes(slices) != kChunkBytes; size -= 8) {
    ASSERT_GT(size, kChunkBytes / 2);
    slices[0].shape = {size};
    slices[0].end = size;
  }
  const auto attempt = begin_attempt(io, "/root", {7, "job", "nonce", 0});
  const std::vector<PartRecord> parts = {write_part(io, attempt, 0, slices)};
  EXPECT_EQ(parts[0].file.chunks.size(), 1U);
  const auto path = commit(io, attempt, sample_commit_spec({7, 1, 1, "sample", 16}), parts);
  EXPECT_FALSE(verify_checkpoint(io, path, {}));
}

TEST(CheckpointRoundTrip, APartWhoseBytesAreMadeAsTheyAreWrittenIsTheSame) {
  RecordingIo io;
  io.make_folder("/a");
  io.make_folder("/b");
  const auto tensors = sample_tensors(5, 4000);  // more than a piece each
  auto slices = cut_at_random(tensors, 1, 3)[0];
  const PartRecord whole = write_part(io, "/a", 0, slices);
  std::map<std::string, const TensorSlice*> by_name;
  const auto held = slices;
  for (TensorSlice& slice : slices) slice.data = nullptr;
  const SliceSource source = [&](const TensorSlice& slice, std::int64_t begin, std::int64_t end, void* out) {
    for (const TensorSlice& one : held) {
      if (one.name != slice.name || one.begin != slice.begin) continue;
      const std::size_t size = dtype_size(one.dtype);
      std::memcpy(out,
                  static_cast<const char*>(one.data) + static_cast<std::size_t>(begin - one.begin) * size,
                  static_cast<std::size_t>(end - begin) * size);
    }
  };
  EXPECT_EQ(write_part(io, "/b", 0, slices, source).text(), whole.text());
  EXPECT_TRUE(io.contents("/b/part-00000.safetensors") == io.contents("/a/part-00000.safetensors"));
}

TEST(CheckpointRoundTrip, AFolderWithoutAParentIsMadeInTheWorkingFolder) {
  RecordingIo io;
  EXPECT_EQ(begin_attempt(io, "checkpoints", {7, "job", "nonce", 0}).parent_path(), "checkpoints");
  EXPECT_EQ(io.stat("/checkpoints").kind, EntryKind::folder);
}

}  // namespace
}  // namespace switchyard::data
