#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

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
  EXPECT_THAT([&] { reader.read("temperature", 0, 2, nullptr); },
              ThrowsMessage<CheckpointError>(HasSubstr("has 1 elements; asked for [0, 2)")));
}

TEST(CheckpointRoundTrip, ReaderNoticesDamageAfterVerification) {
  RecordingIo io;
  const auto path = save_sample(io, "/root", {7, 1, 1, "sample", 16});
  CheckpointReader reader(io, path);
  auto& bytes = io.contents(path / "part-00000.safetensors");
  bytes[bytes.size() - 1] = static_cast<char>(bytes[bytes.size() - 1] ^ 0x40);
  std::string out(16 * 128 * 4, '\0');
  EXPECT_THAT([&] { reader.read("embedding.weight", 0, 16 * 128, out.data()); },
              ThrowsMessage<CheckpointError>(HasSubstr("part-00000.safetensors, chunk 0, bytes [0, ")));
}

TEST(CheckpointRoundTrip, ADamagedChunkDoesNotTakeThePlaceOfAGoodOne) {
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

/// commit() over part records that `change` has spoiled.
template <typename Change>
std::string refusal_of(Change change) {
  RecordingIo io;
  const auto tensors = sample_tensors(5);
  const auto cuts = cut_at_random(tensors, 2, 4);
  const auto attempt = begin_attempt(io, "/root", {5, "job", "nonce", 0});
  std::vector<PartRecord> parts = {write_part(io, attempt, 0, cuts[0]), write_part(io, attempt, 1, cuts[1])};
  change(io, parts);
  try {
    commit(io, attempt, sample_commit_spec({5, 2, 4, "sample", 16}), parts);
  } catch (const CheckpointError& error) {
    EXPECT_EQ(io.stat("/root/step-00000005").kind, EntryKind::absent);
    return error.what();
  }
  return "committed";
}

PartRecord::Slice* slice_of(std::vector<PartRecord>& parts, const std::string& name) {
  for (auto& part : parts)
    for (auto& slice : part.slices)
      if (slice.name == name && slice.record.begin == 0) return &slice;
  return nullptr;
}

TEST(CheckpointCommit, RefusesMissingDoubledAndOverlappingSlicesByName) {
  EXPECT_EQ(refusal_of([](auto&, auto&) {}), "committed");
  EXPECT_THAT(
      refusal_of([](auto&, auto& parts) { slice_of(parts, "layers.0.norm.weight")->record.begin = 1; }),
      HasSubstr("tensor 'layers.0.norm.weight': elements [0, 1) are missing"));
  EXPECT_THAT(refusal_of([](auto&, auto& parts) {
                auto copy = *slice_of(parts, "temperature");
                copy.record.part = 1;
                parts[1].slices.push_back(copy);
              }),
              HasSubstr("tensor 'temperature': elements [0, 1) are given twice"));
  EXPECT_THAT(refusal_of([](auto&, auto& parts) {
                auto* slice = slice_of(parts, "temperature");
                slice->shape = {2};
                slice->record.end = 1;
              }),
              HasSubstr("tensor 'temperature': elements [1, 2) are missing"));
  EXPECT_THAT(refusal_of([](auto&, auto& parts) {
                auto copy = *slice_of(parts, "temperature");
                copy.dtype = DType::f32;
                parts[1].slices.push_back(copy);
              }),
              HasSubstr("tensor 'temperature' is f64 [] in one part and f32 [] in part 1"));
  EXPECT_THAT(refusal_of([](auto&, auto& parts) { parts.push_back(parts[0]); }),
              HasSubstr("part 0 is given twice"));
  EXPECT_THAT(refusal_of([](auto&, auto& parts) { parts[1].index = 2; }), HasSubstr("indices 0 to 1; got 2"));
  EXPECT_THAT(refusal_of([](auto& io, auto&) {
                io.contents("/root/.tmp-step-00000005-job-nonce/part-00001.safetensors") += "x";
              }),
              HasSubstr("part-00001.safetensors' must be a file of"));
  EXPECT_THAT(refusal_of([](auto& io, auto&) {
                io.unlink("/root/.tmp-step-00000005-job-nonce/part-00001.safetensors");
              }),
              HasSubstr("part-00001.safetensors' must be a file of"));
}

TEST(CheckpointCommit, WritersRefuseSlicesOutsideTheirTensorOrGivenTwice) {
  RecordingIo io;
  const float value = 1;
  const auto attempt = begin_attempt(io, "/root", {5, "job", "nonce", 0});
  const auto write = [&](std::vector<TensorSlice> slices) { write_part(io, attempt, 0, slices); };
  EXPECT_THROW(write({{"a", DType::f32, {1}, 0, 2, &value}}), InternalError);
  EXPECT_THROW(write({{"a", DType::f32, {1}, -1, 0, &value}}), InternalError);
  EXPECT_THROW(write({{"a", DType::f32, {1}, 0, 1, nullptr}}), InternalError);
  EXPECT_THROW(write({{"a", DType::f32, {-1}, 0, 0, &value}}), InternalError);
  EXPECT_THROW(write({{"", DType::f32, {1}, 0, 1, &value}}), CheckpointError);
  EXPECT_THROW(write({{"a\n", DType::f32, {1}, 0, 1, &value}}), CheckpointError);
  EXPECT_THROW(write({{"a", DType::f32, {1}, 0, 1, &value}, {"a", DType::f32, {1}, 0, 1, &value}}),
               InternalError);
  EXPECT_TRUE(abandon(io, attempt));
  EXPECT_TRUE(io.list("/root").empty());
}

TEST(CheckpointCommit, KeepsAValidCheckpointOfTheSameStepAndReplacesADamagedOne) {
  RecordingIo io;
  const auto path = save_sample(io, "/root", {5, 2, 1, "sample", 16});
  EXPECT_THAT(
      [&] {
        save_sample(io, "/root", {5, 1, 2, "sample", 16});
      },
      ThrowsMessage<CheckpointError>(HasSubstr("exists and is valid; it is not replaced")));
  EXPECT_EQ(io.list("/root"), std::vector<std::string>{"step-00000005"});
  io.contents(path / "part-00001.safetensors").pop_back();
  save_sample(io, "/root", {5, 1, 2, "sample", 16});
  EXPECT_EQ(difference_from_sample(io, path, 5), "");
  EXPECT_EQ(io.list("/root"), std::vector<std::string>{"step-00000005"});
}

TEST(CheckpointSpace, IsCheckedBeforeAnythingIsWritten) {
  RecordingIo io(1000);
  EXPECT_THAT(
      [&] {
        begin_attempt(io, "/root", {5, "job", "nonce", 910});
      },
      ThrowsMessage<DiskError>(HasSubstr("needs 1001 bytes (910 and a tenth); 1000 are free")));
  EXPECT_TRUE(io.list("/root").empty());
  begin_attempt(io, "/root", {5, "job", "nonce", 909});
  EXPECT_EQ(io.list("/root").size(), 1U);
}

TEST(PartRecord, GarbageIsRefused) {
  EXPECT_THROW(PartRecord::parse("{}"), InternalError);
  EXPECT_THROW(PartRecord::parse("["), InternalError);
}

}  // namespace
}  // namespace switchyard::data
