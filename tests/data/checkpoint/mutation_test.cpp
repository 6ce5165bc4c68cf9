// Damage of every kind to the newest checkpoint: always noticed before a tensor is used, and the older one is
// found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "data/io/recording_io.h"
#include "tests/data/checkpoint/sample.h"

namespace switchyard::data {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr int kKilobytes = 6;
const std::vector<std::string> kFiles = {"manifest.json", "part-00000.safetensors", "part-00001.safetensors"};

class Mutations : public ::testing::Test {
 protected:
  Mutations() {
    save_sample(disk_, "/root", {1, 2, 1, "sample", kKilobytes});
    save_sample(disk_, "/root", {2, 2, 2, "sample", kKilobytes});
  }
  std::string& file(const std::string& name) { return disk_.contents(newest_ / name); }

  /// The damage that `where` now has is noticed and step 1 is used instead.
  void expect_fallback(const std::string& what) {
    const auto newest = find_newest(disk_, "/root", {"sample", true});
    ASSERT_TRUE(newest.checkpoint) << what;
    ASSERT_EQ(newest.checkpoint->step, 1) << what;
    ASSERT_EQ(newest.rejections.size(), 1U) << what;
    ASSERT_THAT(newest.rejections[0].text(), HasSubstr("/root/step-00000002")) << what;
  }
  /// A reader that skips the verification must not hand out wrong bytes either.
  void expect_reader_safe(const std::string& what) {
    std::string difference;
    try {
      difference = difference_from_sample(disk_, newest_, 2, kKilobytes);
    } catch (const Error&) {
      return;
    }
    ASSERT_EQ(difference, "") << what;
  }

  RecordingIo disk_;
  const std::filesystem::path newest_ = "/root/step-00000002";
};

TEST_F(Mutations, OneBitInEvery64ByteRegionOfEveryFile) {
  std::mt19937_64 random(1);
  std::int64_t count = 0;
  for (const auto& name : kFiles) {
    for (std::size_t region = 0; region * 64 < file(name).size(); ++region) {
      std::string& bytes = file(name);
      const std::size_t at = region * 64 + random() % std::min<std::size_t>(64, bytes.size() - region * 64);
      const char bit = static_cast<char>(1 << random() % 8);
      bytes[at] = static_cast<char>(bytes[at] ^ bit);
      const std::string what = name + " byte " + std::to_string(at);
      expect_fallback(what);
      expect_reader_safe(what);
      if (HasFatalFailure()) return;
      bytes[at] = static_cast<char>(bytes[at] ^ bit);
      ++count;
    }
  }
  EXPECT_GT(count, 150);
  EXPECT_EQ(find_newest(disk_, "/root", {"sample", true}).checkpoint->step, 2) << "the damage was undone";
}

/// One random damage to `bytes`; `other` is a file of the same checkpoint, `older` the same file of another
/// step.
void damage(std::string& bytes, const std::string& other, const std::string& older, std::mt19937_64& random) {
  const auto draw = [&](std::size_t limit) { return limit == 0 ? 0 : random() % limit; };
  const std::size_t at = draw(bytes.size());
  const std::size_t run = std::min(bytes.size() - at, 1 + draw(600));
  switch (random() % 10) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << draw(8)));
      break;
    case 1:
      for (std::size_t i = 0; i < 1 + draw(16); ++i) bytes[draw(bytes.size())] = static_cast<char>(random());
      break;
    case 2:  // a page of zeros
      bytes.replace(at / 512 * 512, std::min<std::size_t>(512, bytes.size() - at / 512 * 512),
                    std::min<std::size_t>(512, bytes.size() - at / 512 * 512), '\0');
      break;
    case 3:
      bytes.resize(at);
      break;
    case 4:
      bytes.append(1 + draw(600), static_cast<char>(random()));
      break;
    case 5:  // another file of the checkpoint in its place
      bytes = other;
      break;
    case 6:  // the same file of another step
      bytes = older;
      break;
    case 7:
      bytes.erase(at, run);
      break;
    case 8:
      bytes.insert(at, bytes.substr(draw(bytes.size()), run));
      break;
    case 9:  // two regions change places
      bytes.replace(at, run, bytes.substr(draw(bytes.size() - run + 1), run));
      break;
  }
}

TEST_F(Mutations, RandomDamageIsNoticed) {
  const std::int64_t count = trials("SWITCHYARD_MUTATIONS", 10000);
  std::int64_t num_changed = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::mt19937_64 random(static_cast<std::uint64_t>(i));
    const std::size_t which = random() % kFiles.size();
    std::string& bytes = file(kFiles[which]);
    const std::string before = bytes;
    const std::string older = disk_.contents("/root/step-00000001/" + kFiles[which]);
    damage(bytes, file(kFiles[(which + 1) % kFiles.size()]), older, random);
    if (bytes != before) {
      const std::string what = "mutation " + std::to_string(i) + " of " + kFiles[which];
      expect_fallback(what);
      expect_reader_safe(what);
      if (HasFatalFailure()) return;
      ++num_changed;
    }
    bytes = before;
  }
  EXPECT_GT(num_changed, count * 9 / 10);
}

TEST_F(Mutations, SwappedRemovedAndForeignFiles) {
  std::swap(file(kFiles[1]), file(kFiles[2]));
  expect_fallback("swapped parts");
  std::swap(file(kFiles[1]), file(kFiles[2]));
  for (const auto& name : kFiles) {
    const auto copy = disk_.copy();
    copy->unlink(newest_ / name);
    const auto newest = find_newest(*copy, "/root", {"sample", true});
    ASSERT_EQ(newest.checkpoint->step, 1) << name;
    EXPECT_THAT(newest.rejections[0].text(), HasSubstr(name));
  }
  disk_.contents("/root/step-00000001/manifest.json") += " ";
  file(kFiles[0]) += " ";
  const auto none = find_newest(disk_, "/root", {"sample", true});
  EXPECT_FALSE(none.checkpoint);
  EXPECT_EQ(none.rejections.size(), 2U);
}

TEST_F(Mutations, MessageNamesFileChunkBytesExpectedAndFound) {
  auto& bytes = file(kFiles[1]);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  const std::string text = find_newest(disk_, "/root", {"sample", true}).rejections[0].text();
  EXPECT_THAT(text,
              MatchesRegex("/root/step-00000002/part-00000.safetensors, chunk 0, bytes \\[0, [0-9]+\\): the "
                           "digest differs; expected [0-9a-f]{32}, found [0-9a-f]{32}"));
  bytes.pop_back();
  EXPECT_THAT(
      find_newest(disk_, "/root", {"sample", true}).rejections[0].text(),
      MatchesRegex("/root/step-00000002/part-00000.safetensors, bytes \\[[0-9]+, [0-9]+\\): the file has "
                   "the wrong size in bytes; expected [0-9]+, found [0-9]+"));
}

}  // namespace
}  // namespace switchyard::data
