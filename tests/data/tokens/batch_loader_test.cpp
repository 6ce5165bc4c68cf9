#include "data/tokens/batch_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <utility>

#include "kernels/runtime/error.h"
#include "tests/data/support/prepared_folder.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

constexpr BatchShape kShape{16, 3, 4};

TEST(TokenDataset, IsTheConcatenationOfItsShards) {
  const TemporaryFolder folder;
  const auto tokens = some_tokens(1050);
  write_prepared(folder.path(), {tokens}, 100);
  const TokenDataset dataset(folder.path(), kTrainSplit);
  ASSERT_EQ(dataset.num_tokens(), 1050U);
  EXPECT_EQ(dataset.num_documents(), 1U);
  std::vector<std::int32_t> out(1050);
  dataset.tokens(0, 1050, out.data());
  EXPECT_EQ(out, tokens);
  for (const std::size_t begin : {0, 99, 100, 101, 550, 1049}) {
    const std::size_t count = std::min<std::size_t>(250, 1050 - begin);
    std::vector<std::int32_t> part(count);
    dataset.tokens(begin, count, part.data());
    EXPECT_TRUE(std::equal(part.begin(), part.end(), tokens.begin() + static_cast<std::ptrdiff_t>(begin)));
  }
  EXPECT_THROW(dataset.tokens(1050, 1, out.data()), InternalError);
}

TEST(TokenDataset, WindowsOverlapByOneToken) {
  const TemporaryFolder folder;
  const auto tokens = some_tokens(101);
  write_prepared(folder.path(), {tokens}, 33);
  const TokenDataset dataset(folder.path(), kTrainSplit);
  EXPECT_EQ(dataset.num_windows(10), 10U);
  EXPECT_EQ(dataset.num_windows(11), 9U);
  EXPECT_EQ(dataset.num_windows(100), 1U);
  EXPECT_EQ(dataset.num_windows(101), 0U) << "a window needs one token more than it predicts";
  EXPECT_EQ(dataset.num_windows(1), 100U);
  for (const std::int64_t length : {1, 10, 100})
    for (std::uint64_t window = 0; window < dataset.num_windows(length); ++window) {
      const auto size = static_cast<std::size_t>(length);
      std::vector<std::int32_t> inputs(size);
      std::vector<std::int32_t> targets(size);
      dataset.window(window, length, inputs.data(), targets.data());
      for (std::size_t t = 0; t < size; ++t) {
        ASSERT_EQ(inputs[t], tokens[window * size + t]);
        ASSERT_EQ(targets[t], tokens[window * size + t + 1]);
      }
    }
  std::vector<std::int32_t> out(10);
  EXPECT_THROW(dataset.window(10, 10, out.data(), out.data()), InternalError);
}

TEST(TokenDataset, DigestKnowsTokensAndTokenizerButNotTheFolder) {
  const TemporaryFolder folder;
  auto tokens = some_tokens(500, 250);
  write_prepared(folder / "a", {tokens}, 100);
  write_prepared(folder / "b", {tokens}, 100);
  write_prepared(folder / "wide", {tokens}, 100, WideTokenizer(257));
  tokens[77] ^= 1;
  write_prepared(folder / "c", {tokens}, 100);
  const Digest digest = TokenDataset(folder / "a", kTrainSplit).digest();
  EXPECT_EQ(TokenDataset(folder / "b", kTrainSplit).digest(), digest);
  EXPECT_NE(TokenDataset(folder / "c", kTrainSplit).digest(), digest);
  EXPECT_NE(TokenDataset(folder / "wide", kTrainSplit).digest(), digest);
}

class BatchLoading : public testing::Test {
 protected:
  BatchLoading()
      : tokens_(some_tokens(2000)),
        manifest_(write_prepared(folder_.path(), {tokens_}, 600)),
        dataset_(folder_.path(), kTrainSplit),
        order_(9, dataset_.num_windows(kShape.sequence_length)) {}
  Batch expected(std::uint64_t step, std::int64_t unit) const {
    return read_batch(dataset_, order_, kShape, step, unit);
  }
  void expect_right(BatchLoader& loader, std::uint64_t step, std::int64_t unit) const {
    const Batch found = loader.get(step, unit);
    const Batch wanted = expected(step, unit);
    EXPECT_EQ(found.step, step);
    EXPECT_EQ(found.unit, unit);
    EXPECT_EQ(found.inputs, wanted.inputs);
    EXPECT_EQ(found.targets, wanted.targets);
  }

  TemporaryFolder folder_;
  std::vector<std::int32_t> tokens_;
  TokenManifest manifest_;
  TokenDataset dataset_;
  SampleOrder order_;
};

TEST_F(BatchLoading, ABatchIsItsSamplesWindows) {
  const Batch batch = expected(5, 2);
  ASSERT_EQ(batch.inputs.size(), 48U);
  for (std::int64_t b = 0; b < 3; ++b) {
    const std::uint64_t window = order_.window((5 * 4 + 2) * 3 + static_cast<std::uint64_t>(b));
    for (std::size_t t = 0; t < 16; ++t) {
      EXPECT_EQ(batch.inputs[static_cast<std::size_t>(b) * 16 + t], tokens_[window * 16 + t]);
      EXPECT_EQ(batch.targets[static_cast<std::size_t>(b) * 16 + t], tokens_[window * 16 + t + 1]);
    }
  }
}

TEST_F(BatchLoading, ReadingAheadChangesNothing) {
  for (const std::int64_t read_ahead : {0, 1, 3, 100}) {
    BatchLoader loader(dataset_, order_, {kShape, {0, 1, 2, 3}, 7, read_ahead});
    for (std::uint64_t step = 7; step < 40; ++step)
      for (std::int64_t unit = 0; unit < 4; ++unit) expect_right(loader, step, unit);
    EXPECT_EQ(loader.num_batches(), 33U * 4);
    EXPECT_GE(loader.wait_seconds(), 0.0);
  }
}

TEST_F(BatchLoading, AnyOrderOfRequestsIsRight) {
  BatchLoader loader(dataset_, order_, {kShape, {1, 3}, 0, 2});
  const std::vector<std::pair<std::uint64_t, std::int64_t>> requests = {
      {0, 1},  {0, 3}, {9, 3},  // forward
      {10, 1},                  // goes on from there
      {2, 1},                   // back
      {2, 0},                   // a unit of somebody else
      {2, 3},  {2, 3},          // again
      {3, 1},
  };
  for (const auto& [step, unit] : requests) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that batches of another place lie ready
    expect_right(loader, step, unit);
  }
}

TEST_F(BatchLoading, EndsAtAnyMoment) {
  for (int times = 0; times < 50; ++times) {
    BatchLoader loader(dataset_, order_, {kShape, {0, 1, 2, 3}, 0, 8});
    for (int i = 0; i < times % 5; ++i) loader.get(0, i % 4);
  }
}

TEST_F(BatchLoading, AnErrorOfTheThreadComesWithItsBatchAndEachTime) {
  // One shard holds damage that is seen only once its block is touched.
  const ShardEntry& entry = manifest_.splits[0].shards[2];
  flip_bit(folder_ / entry.file, entry.tokens_offset, 0);
  const TokenDataset damaged(folder_.path(), kTrainSplit);
  int num_refused = 0;
  BatchLoader loader(damaged, order_, {kShape, {0, 1, 2, 3}, 0, 3});
  for (std::uint64_t step = 0; step < 20; ++step)
    for (std::int64_t unit = 0; unit < 4; ++unit) {
      bool touches = false;
      for (std::uint64_t b = 0; b < 3; ++b) {
        const std::uint64_t window = order_.window((step * 4 + static_cast<std::uint64_t>(unit)) * 3 + b);
        touches = touches || (window * 16 + 17 > 1200 && window * 16 < 1800);
      }
      if (touches) {
        ++num_refused;
        for (int again = 0; again < 2; ++again)
          EXPECT_THAT(message_of<DataError>([&] { loader.get(step, unit); }), testing::HasSubstr(entry.file));
      } else {
        expect_right(loader, step, unit);
      }
    }
  EXPECT_GT(num_refused, 10);
  EXPECT_LT(num_refused, 80);
}

TEST_F(BatchLoading, RefusesAnOrderOfOtherWindows) {
  EXPECT_THROW(BatchLoader(dataset_, SampleOrder(1, 3), {kShape, {0}, 0, 1}), InternalError);
  EXPECT_THROW(BatchLoader(dataset_, order_, {kShape, {4}, 0, 1}), InternalError);
}

}  // namespace
}  // namespace switchyard::data
