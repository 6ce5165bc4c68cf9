#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "data/tokens/shard/inspect.h"
#include "data/tokens/shard/shard_reader.h"
#include "kernels/runtime/error.h"
#include "tests/data/support/prepared_folder.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

std::vector<std::int32_t> read(const ShardReader& reader, std::uint64_t begin, std::uint64_t count) {
  std::vector<std::int32_t> out(count);
  reader.tokens(begin, count, out.data());
  return out;
}

std::vector<std::int32_t> slice(const std::vector<std::int32_t>& tokens, std::size_t begin,
                                std::size_t count) {
  const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(begin);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

TEST(Shard, GivesBackTokensDocumentsAndAttributes) {
  const TemporaryFolder folder;
  const auto tokens = some_tokens(1000);
  const auto manifest = write_prepared(
      folder.path(), {slice(tokens, 0, 10), slice(tokens, 10, 1), slice(tokens, 11, 989)}, 1 << 20);
  ASSERT_EQ(manifest.splits[0].shards.size(), 1U);
  const ShardReader reader(folder.path(), manifest.splits[0].shards[0]);
  EXPECT_EQ(read(reader, 0, 1000), tokens);
  EXPECT_EQ(read(reader, 17, 5), slice(tokens, 17, 5));
  EXPECT_EQ(read(reader, 1000, 0), std::vector<std::int32_t>{});
  EXPECT_THROW(read(reader, 1000, 1), InternalError);
  std::int32_t nothing = 0;
  EXPECT_THROW(reader.tokens(1, ~0ULL, &nothing), InternalError);

  const ShardLayout& layout = reader.layout();
  ASSERT_EQ(layout.num_parts, 3U);
  EXPECT_EQ(reader.document_offset(0), 0U);
  EXPECT_EQ(reader.document_offset(1), 10U);
  EXPECT_EQ(reader.document_offset(2), 11U);
  EXPECT_EQ(reader.document_offset(3), 1000U);
  EXPECT_EQ(layout.attributes.vocab_size, 257U);
  EXPECT_EQ(layout.attributes.tokenizer_name, "bytes");
  EXPECT_EQ(layout.attributes.tokenizer_digest, ByteTokenizer().digest());
  EXPECT_EQ(layout.attributes.end_of_document, 256U);
  EXPECT_EQ(layout.attributes.split, "train");
  EXPECT_FALSE(layout.attributes.continues_document);
  EXPECT_EQ(manifest.splits[0].shards[0].tokens_bytes, 2000U);
}

TEST(Shard, TokensLieRawAtTheOffsetThatIsNamed) {
  const TemporaryFolder folder;
  const auto tokens = some_tokens(3000);
  const auto entry = write_prepared(folder.path(), {tokens}, 1 << 20).splits[0].shards[0];
  const std::string bytes = read_bytes(folder / entry.file);
  EXPECT_EQ(entry.tokens_offset % 4096, 0U) << "long tokens begin on a page";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto low = static_cast<unsigned char>(bytes.at(entry.tokens_offset + 2 * i));
    const auto high = static_cast<unsigned char>(bytes.at(entry.tokens_offset + 2 * i + 1));
    ASSERT_EQ(low + 256 * high, tokens[i]);
  }
}

TEST(Shard, IsCutIntoExactRunsAndDocumentsGoOn) {
  const TemporaryFolder folder;
  const auto tokens = some_tokens(250);
  const auto manifest = write_prepared(
      folder.path(), {slice(tokens, 0, 100), slice(tokens, 100, 130), slice(tokens, 230, 20)}, 100);
  const auto& shards = manifest.splits[0].shards;
  ASSERT_EQ(shards.size(), 3U);
  EXPECT_EQ(shards[0].tokens, 100U);
  EXPECT_EQ(shards[1].tokens, 100U);
  EXPECT_EQ(shards[2].tokens, 50U);
  // The first document fills its shard exactly, so the second one begins afresh and runs into the third.
  EXPECT_EQ(shards[0].documents, 1U);
  EXPECT_EQ(shards[1].documents, 1U);
  EXPECT_EQ(shards[2].documents, 1U);
  EXPECT_EQ(manifest.splits[0].documents(), 3U);
  const ShardReader second(folder.path(), shards[1]);
  const ShardReader third(folder.path(), shards[2]);
  EXPECT_FALSE(second.layout().attributes.continues_document);
  EXPECT_TRUE(third.layout().attributes.continues_document);
  EXPECT_EQ(third.layout().num_parts, 2U);
  EXPECT_EQ(third.document_offset(1), 30U);
  EXPECT_EQ(read(third, 0, 50), slice(tokens, 200, 50));
  EXPECT_EQ(names_in(folder.path()),
            (std::set<std::string>{"manifest.json", "train-00000.h5", "train-00001.h5", "train-00002.h5"}));
}

TEST(Shard, HasOneDigestForEachMiB) {
  const TemporaryFolder folder;
  const std::uint64_t block_tokens = kBlockBytes / 2;
  for (const std::uint64_t count : {block_tokens - 1, block_tokens, block_tokens + 1, 3 * block_tokens}) {
    const auto tokens = some_tokens(count);
    const auto entry = write_prepared(folder / std::to_string(count), {tokens}, 1 << 24).splits[0].shards[0];
    const ShardReader reader(folder / std::to_string(count), entry);
    ASSERT_EQ(reader.layout().num_blocks, (count + block_tokens - 1) / block_tokens);
    reader.verify_all();
    EXPECT_EQ(read(reader, 0, count), tokens);
    EXPECT_EQ(reader.block_range(reader.layout().num_blocks - 1).end,
              entry.tokens_offset + entry.tokens_bytes);
  }
}

TEST(Shard, UsesFourBytesAboveSixteenBits) {
  const TemporaryFolder folder;
  for (const std::int64_t vocab_size : {65536, 65537, 1 << 20}) {
    const auto path = folder / std::to_string(vocab_size);
    auto tokens = some_tokens(700000, vocab_size);
    tokens[5] = static_cast<std::int32_t>(vocab_size - 1);
    const auto entry = write_prepared(path, {tokens}, 1 << 24, WideTokenizer(vocab_size)).splits[0].shards[0];
    EXPECT_EQ(entry.tokens_bytes, tokens.size() * (vocab_size > 65536 ? 4 : 2));
    EXPECT_EQ(read(ShardReader(path, entry), 0, tokens.size()), tokens);
  }
}

TEST(Shard, EqualTokensGiveEqualBytes) {
  const TemporaryFolder folder;
  const Documents documents = {some_tokens(5000), {1, 2, 3}};
  write_prepared(folder / "a", documents, 3000);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // a time in the file would show
  write_prepared(folder / "b", documents, 3000);
  ASSERT_EQ(names_in(folder / "a"), names_in(folder / "b"));
  for (const std::string& name : names_in(folder / "a"))
    EXPECT_TRUE(read_bytes(folder / "a" / name) == read_bytes(folder / "b" / name)) << name;
}

TEST(Shard, RefusesTokensOutsideOfTheVocabularyWhenWriting) {
  const TemporaryFolder folder;
  EXPECT_THROW(write_prepared(folder / "a", {{1, 257}}, 100), InternalError);
  EXPECT_THROW(write_prepared(folder / "b", {{-1}}, 100), InternalError);
  EXPECT_EQ(names_in(folder / "a"), std::set<std::string>{}) << "nothing half-written remains";
}

TEST(Shard, IsReadFromSeveralThreads) {
  const TemporaryFolder folder;
  const auto tokens = some_tokens(5 * kBlockBytes / 2);
  const ShardReader reader(folder.path(),
                           write_prepared(folder.path(), {tokens}, 1 << 24).splits[0].shards[0]);
  std::vector<std::thread> threads;
  std::atomic<int> num_wrong{0};
  for (std::size_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (std::size_t begin = thread; begin + 5000 < tokens.size(); begin += 150000)
        num_wrong += read(reader, begin, 5000) == slice(tokens, begin, 5000) ? 0 : 1;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_wrong, 0);
}

TEST(InspectShard, ReportsCountsDigestsAndText) {
  const TemporaryFolder folder;
  std::vector<std::int32_t> tokens;
  ByteTokenizer().encode("Hello, shard. ", tokens);
  tokens.push_back(256);
  auto more = some_tokens(kBlockBytes);
  const auto manifest = write_prepared(folder.path(), {tokens, more}, 1 << 24);
  const ShardReport report = inspect_shard(folder / "train-00000.h5", 9);
  EXPECT_EQ(report.entry, manifest.splits[0].shards[0]);
  EXPECT_EQ(report.first_text, "Hello, sh");
  EXPECT_EQ(report.blocks.size(), 3U);
  EXPECT_EQ(report.num_damaged_blocks, 0U);
  EXPECT_EQ(report.layout.num_parts, 2U);

  flip_bit(folder / "train-00000.h5", report.entry.tokens_offset + kBlockBytes + 5, 3);
  const ShardReport damaged = inspect_shard(folder / "train-00000.h5", 9);
  EXPECT_EQ(damaged.num_damaged_blocks, 1U);
  EXPECT_TRUE(damaged.blocks[0].is_intact);
  EXPECT_FALSE(damaged.blocks[1].is_intact);
  EXPECT_THAT(damaged.blocks[1].error, testing::HasSubstr("block 1 of 3"));
  EXPECT_EQ(damaged.first_text, "Hello, sh");
}

TEST(InspectShard, RefusesAShardThatNoManifestNames) {
  const TemporaryFolder folder;
  write_prepared(folder.path(), {{1, 2}}, 100);
  std::filesystem::copy_file(folder / "train-00000.h5", folder / "other.h5");
  EXPECT_THAT(message_of<DataError>([&] { inspect_shard(folder / "other.h5"); }),
              testing::HasSubstr("other.h5"));
  EXPECT_THAT(message_of<DataError>([&] { inspect_shard(folder / "absent.h5"); }),
              testing::HasSubstr("absent.h5"));
}

}  // namespace
}  // namespace switchyard::data
