// Files from strangers: whatever is done to a good file, it is refused as bad data or what is read of it
// holds together, at a bounded price.
#include <gtest/gtest.h>

#include <cstring>
#include <ctime>

#include "data/io/recording_io.h"
#include "data/safetensors/safetensors_file.h"
#include "tests/support/hostile/allocation_meter.h"
#include "tests/support/hostile/mutator.h"

namespace switchyard::data {
namespace {

constexpr int kTrials = 12'000;
constexpr std::int64_t kMostBytes = std::int64_t{4} << 20;
constexpr double kMostSeconds = 1;

/// Of this thread alone: other work on the machine counts for nothing.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

/// Good files: one dtype of each alignment, sub-byte elements, scalars, nothing, metadata.
std::vector<std::string> good_files() {
  const std::vector<std::vector<SafetensorsSpec>> models = {
      {{"a.weight", "F32", {4, 6}}, {"a.bias", "F32", {6}}},
      {{"x", "BF16", {3, 5}}, {"y", "F64", {}}, {"z", "U8", {7}}, {"f", "F4", {2, 4}}},
      {{"none", "I64", {0, 9}}, {"q\"uote", "F16", {1}}},
      {}};
  std::vector<std::string> files;
  for (std::size_t i = 0; i < models.size(); ++i) {
    std::map<std::string, std::string> metadata;
    if (i % 2 == 0) metadata = {{"format", "pt"}, {"note", "\xc3\xa9"}};
    const auto [header, opening] = plan_safetensors(models[i], metadata);
    const std::int64_t end = header.entries.empty() ? header.data_begin : header.entries.back().end;
    std::string data(static_cast<std::size_t>(end - header.data_begin), '\0');
    for (std::size_t at = 0; at < data.size(); ++at) data[at] = static_cast<char>(at * 7 + i);
    files.push_back(opening + data);
  }
  return files;
}

std::string damaged(std::string file, test::Mutator& mutator) {
  if (mutator.draw(3) == 0) {
    for (std::size_t changes = 1 + mutator.draw(3); changes > 0; --changes) mutator.damage_bytes(file);
    return file;
  }
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  const std::string data = file.substr(8 + length);
  if (mutator.draw(3) == 0) {
    std::string header = file.substr(8, length);
    mutator.damage_bytes(header);
    return file_of(header, data);
  }
  auto header = nlohmann::json::parse(file.substr(8, length));
  for (std::size_t changes = 1 + mutator.draw(2); changes > 0; --changes) mutator.damage_json(header);
  return file_of(header.dump(), data);
}

/// What the reader promises of every file that it takes.
void expect_sound(SafetensorsReader& reader, const std::string& file) {
  const SafetensorsHeader& header = reader.header();
  std::int64_t reached = header.data_begin;
  std::vector<SafetensorsSpec> specs;
  for (const SafetensorsEntry& entry : header.entries) {
    ASSERT_EQ(entry.begin, reached) << entry.name;
    const auto elements = element_count(entry.shape);
    ASSERT_TRUE(elements) << entry.name;
    ASSERT_EQ(*elements * safetensors_dtype_bits(entry.dtype), 8 * (entry.end - entry.begin)) << entry.name;
    std::string bytes(static_cast<std::size_t>(entry.end - entry.begin), '\0');
    reader.read(entry, 0, bytes.data(), bytes.size());
    ASSERT_EQ(bytes, file.substr(static_cast<std::size_t>(entry.begin), bytes.size())) << entry.name;
    ASSERT_EQ(reader.find(entry.name), &entry);
    specs.push_back({entry.name, entry.dtype, entry.shape});
    reached = entry.end;
  }
  ASSERT_EQ(reached, static_cast<std::int64_t>(file.size()));
  // Written anew, it has the same tensors.
  const auto [again, opening] = plan_safetensors(specs, header.metadata);
  ASSERT_EQ(again.entries.size(), specs.size());
  const SafetensorsHeader reread = parse_safetensors_header(
      std::string_view(opening).substr(8), again.data_begin + reached - header.data_begin, "again");
  ASSERT_EQ(reread.metadata, header.metadata);
}

TEST(SafetensorsMutation, EveryDamagedFileIsRefusedOrSound) {
  const std::vector<std::string> files = good_files();
  int taken = 0, refused = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    test::Mutator mutator(static_cast<std::uint64_t>(trial));
    const std::string file = damaged(files[static_cast<std::size_t>(trial) % files.size()], mutator);
    RecordingIo io;
    write_whole_file(io, "/m", file);
    const double start = thread_seconds();
    const test::AllocationMeter meter;
    try {
      SafetensorsReader reader(io, "/m");
      expect_sound(reader, file);
      ++taken;
    } catch (const DataError& error) {
      ASSERT_EQ(std::string(error.what()).substr(0, 2), "/m") << error.what();
      ++refused;
    }  // any other exception fails the test
    ASSERT_LT(meter.peak_bytes(), kMostBytes) << "trial " << trial;
    ASSERT_LT(thread_seconds() - start, kMostSeconds) << "trial " << trial;
    if (testing::Test::HasFatalFailure()) FAIL() << "trial " << trial;
  }
  // Both ways are walked: blind damage is mostly refused, a renamed tensor is a sound file.
  EXPECT_GT(taken, kTrials / 50);
  EXPECT_GT(refused, kTrials / 2);
}

TEST(SafetensorsMutation, EveryGoodFileIsTaken) {
  for (const std::string& file : good_files()) {
    RecordingIo io;
    write_whole_file(io, "/m", file);
    SafetensorsReader reader(io, "/m");
    expect_sound(reader, file);
  }
}

}  // namespace
}  // namespace switchyard::data
