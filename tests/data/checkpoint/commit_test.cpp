// What a commit refuses, and what writers of parts refuse before.
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
  EXPECT_THAT(refusal_of([](auto&, auto& parts) {
                auto copy = *slice_of(parts, "temperature");
                copy.shape = {2};
                parts[1].slices.push_back(copy);
              }),
              HasSubstr("tensor 'temperature' is f64 [] in one part and f64 [2] in part 1"));
  EXPECT_THAT(refusal_of([](auto&, auto& parts) { parts[1].index = -1; }),
              HasSubstr("indices 0 to 1; got -1"));
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
  EXPECT_THROW(write({{"a", DType::f32, {1}, 1, 0, &value}}), InternalError);
  EXPECT_THROW(write({{"a", DType::f32, {1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 1, &value}}), InternalError);
  EXPECT_THROW(write_part(io, attempt, -1, {}), InternalError);
  EXPECT_THROW(write_part(io, attempt, kMaxParts, {}), InternalError);
  EXPECT_THROW(write({{"", DType::f32, {1}, 0, 1, &value}}), CheckpointError);
  EXPECT_THROW(write({{std::string(600, 'a'), DType::f32, {1}, 0, 1, &value}}), CheckpointError);
  EXPECT_THROW(write({{"a\x7f", DType::f32, {1}, 0, 1, &value}}), CheckpointError);
  EXPECT_THROW(write({{"a\n", DType::f32, {1}, 0, 1, &value}}), CheckpointError);
  EXPECT_THROW(write({{"a", DType::f32, {1}, 0, 1, &value}, {"a", DType::f32, {1}, 0, 1, &value}}),
               InternalError);
  FaultingIo failing(io, {IoCall::list, 0, EIO, false, false});
  EXPECT_FALSE(abandon(failing, attempt));
  EXPECT_TRUE(abandon(io, attempt));
  EXPECT_TRUE(io.list("/root").empty());
}

TEST(CheckpointCommit, RefusesTextThatIsNoText) {
  RecordingIo io;
  const auto attempt = begin_attempt(io, "/root", {5, "job", "nonce", 0});
  CommitSpec spec = sample_commit_spec({5, 1, 1, "\xff", 16});
  EXPECT_THAT([&] { commit(io, attempt, spec, {}); },
              ThrowsMessage<InternalError>(HasSubstr("run, config digest and state must be UTF-8")));
  spec = sample_commit_spec({5, 1, 1, "sample", 16});
  spec.continuation.emplace_back("nobody");
  EXPECT_THAT([&] { commit(io, attempt, spec, {}); }, ThrowsMessage<InternalError>(HasSubstr("'nobody'")));
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
  RecordingIo io;
  io.make_folder("/a");
  const float value = 1;
  const std::vector<TensorSlice> slices = {{"a", DType::f32, {1}, 0, 1, &value}};
  const PartRecord record = write_part(io, "/a", 0, slices);
  const std::string text = record.text();
  EXPECT_EQ(PartRecord::parse(text).text(), text);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return changed;
  };
  EXPECT_THAT([&] { PartRecord::parse(with("F32", "F31")); },
              ThrowsMessage<InternalError>(HasSubstr("part record: dtype 'F31'")));
  EXPECT_THAT([&] { PartRecord::parse(with(record.file.digest.text(), "no digest")); },
              ThrowsMessage<InternalError>(HasSubstr("a part record does not parse")));
  PartRecord odd = record;
  odd.slices[0].name = "\xff";
  EXPECT_THAT([&] { odd.text(); }, ThrowsMessage<InternalError>(HasSubstr("tensor names must be UTF-8")));
}

}  // namespace
}  // namespace switchyard::data
