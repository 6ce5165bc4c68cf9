// Every kind of damage to a prepared folder is refused, and the message says where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "data/tokens/shard/shard_reader.h"
#include "data/tokens/token_dataset.h"
#include "kernels/runtime/error.h"
#include "tests/data/support/prepared_folder.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ShardDamage : public testing::Test {
 protected:
  ShardDamage() : manifest_(write_prepared(folder_.path(), {some_tokens(3000), some_tokens(700)}, 1 << 20)) {
    entry_ = manifest_.splits[0].shards[0];
    bytes_ = read_bytes(path());
  }
  std::filesystem::path path() const { return folder_ / entry_.file; }
  void open_and_read() const {
    const TokenDataset dataset(folder_.path(), kTrainSplit);
    std::vector<std::int32_t> tokens(dataset.num_tokens());
    dataset.tokens(0, tokens.size(), tokens.data());
  }

  TemporaryFolder folder_;
  TokenManifest manifest_;
  ShardEntry entry_;
  std::string bytes_;
};

TEST_F(ShardDamage, TheUndamagedFolderIsAccepted) {
  EXPECT_NO_THROW(open_and_read());
}

TEST_F(ShardDamage, AMissingShardIsNamed) {
  std::filesystem::remove(path());
  EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }), HasSubstr(path().string()));
}

TEST_F(ShardDamage, AnEmptyShardIsNamed) {
  write_bytes(path(), "");
  EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }),
              AllOf(HasSubstr("empty"), HasSubstr(path().string())));
}

TEST_F(ShardDamage, AShardCutAnywhereIsNamed) {
  for (std::size_t size = 1; size < bytes_.size(); size += 61) {
    std::filesystem::resize_file(path(), bytes_.size());
    write_bytes(path(), bytes_.substr(0, size));
    EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }),
                AllOf(HasSubstr("cut short"), HasSubstr(std::to_string(size)), HasSubstr(path().string())));
  }
  write_bytes(path(), bytes_.substr(0, bytes_.size() - 1));
  EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }), HasSubstr("cut short"));
  write_bytes(path(), bytes_ + "x");
  EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }), HasSubstr("bytes were added"));
}

TEST_F(ShardDamage, OneFlippedBitAnywhereIsNamed) {
  const std::uint64_t tokens_end = entry_.tokens_offset + entry_.tokens_bytes;
  int in_tokens = 0;
  int in_metadata = 0;
  for (std::uint64_t byte = 0; byte < bytes_.size(); byte += 97) {
    const int bit = static_cast<int>(byte % 8);
    flip_bit(path(), byte, bit);
    const std::string message = message_of<DataError>([&] { open_and_read(); });
    EXPECT_THAT(message, HasSubstr(path().string())) << "byte " << byte;
    if (byte >= entry_.tokens_offset && byte < tokens_end) {
      EXPECT_THAT(message, HasSubstr("block 0 of 1")) << "byte " << byte;
      ++in_tokens;
    } else {
      EXPECT_THAT(message, HasSubstr("metadata")) << "byte " << byte;
      ++in_metadata;
    }
    flip_bit(path(), byte, bit);
  }
  EXPECT_GT(in_tokens, 50);
  EXPECT_GT(in_metadata, 30);
  EXPECT_NO_THROW(open_and_read());
}

TEST_F(ShardDamage, TheDamagedBlockIsTheOneNamedAndOthersStayReadable) {
  const TemporaryFolder folder;
  const auto tokens = some_tokens(4 * kBlockBytes / 2 + 100);
  const auto entry = write_prepared(folder.path(), {tokens}, 1 << 24).splits[0].shards[0];
  for (std::uint64_t block = 0; block < 5; ++block) {
    const std::uint64_t begin = entry.tokens_offset + block * kBlockBytes;
    const std::uint64_t end = std::min(begin + kBlockBytes, entry.tokens_offset + entry.tokens_bytes);
    for (const std::uint64_t byte : {begin, end - 1}) {
      flip_bit(folder / entry.file, byte, 0);
      const ShardReader reader(folder.path(), entry);  // metadata is whole, so opening works
      for (std::uint64_t other = 0; other < 5; ++other)
        if (other != block) {
          EXPECT_NO_THROW(reader.verify_block(other));
        }
      const std::string message = message_of<DataError>([&] { reader.verify_all(); });
      EXPECT_THAT(message, HasSubstr("block " + std::to_string(block) + " of 5"));
      EXPECT_THAT(message, HasSubstr("[" + std::to_string(begin) + ", " + std::to_string(end) + ")"));
      flip_bit(folder / entry.file, byte, 0);
      EXPECT_THAT(message, HasSubstr(reader.block_digest(block).text()));
    }
  }
}

TEST_F(ShardDamage, AWindowAcrossTwoBlocksSeesDamageInEither) {
  const TemporaryFolder folder;
  const auto entry = write_prepared(folder.path(), {some_tokens(kBlockBytes)}, 1 << 24).splits[0].shards[0];
  flip_bit(folder / entry.file, entry.tokens_offset + 2 * kBlockBytes - 1, 0);
  const ShardReader reader(folder.path(), entry);
  std::vector<std::int32_t> out(2);
  EXPECT_NO_THROW(reader.tokens(kBlockBytes / 2 - 2, 2, out.data()));
  EXPECT_THAT(message_of<DataError>([&] { reader.tokens(kBlockBytes / 2 - 1, 2, out.data()); }),
              HasSubstr("block 1 of 2"));
}

/// A shard of four tokens with right digests, written below ShardWriter, which would refuse what is wrong in
/// it.
ShardEntry write_lying_shard(const std::filesystem::path& path, const std::vector<std::uint16_t>& tokens,
                             const std::vector<std::uint64_t>& offsets) {
  ShardContents contents;
  contents.attributes = {kShardFormatVersion, 257, "bytes", ByteTokenizer().digest(), 256, "train", false};
  contents.num_tokens = tokens.size();
  contents.num_parts = offsets.size() - 1;
  contents.block_digests = {digest_of(tokens.data(), tokens.size() * 2)};
  contents.read_tokens = [&](std::uint64_t, std::size_t count, void* out) {
    std::memcpy(out, tokens.data(), count * 2);
  };
  contents.read_document_offsets = [&](std::uint64_t, std::size_t count, void* out) {
    std::memcpy(out, offsets.data(), count * 8);
  };
  write_shard_file(path, contents);
  return describe_shard(path);
}

TEST_F(ShardDamage, ATokenOutsideOfTheVocabularyIsRefusedEvenWithRightDigests) {
  const TemporaryFolder folder;
  const ShardReader reader(folder.path(), write_lying_shard(folder / "a.h5", {1, 2, 257, 4}, {0, 4}));
  std::vector<std::int32_t> out(4);
  EXPECT_NO_THROW(reader.tokens(0, 2, out.data()));
  EXPECT_THAT(message_of<DataError>([&] { reader.tokens(1, 3, out.data()); }), HasSubstr("got 257"));
}

TEST_F(ShardDamage, DocumentsThatDoNotFollowEachOtherAreRefused) {
  const std::vector<std::vector<std::uint64_t>> cases = {{1, 2, 4}, {0, 3, 2, 4}, {0, 2, 2, 4},
                                                         {0, 2, 3}, {0, 2, 5},    {0, ~0ULL, 4}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const TemporaryFolder folder;
    const ShardEntry entry = write_lying_shard(folder / "a.h5", {1, 2, 3, 4}, cases[i]);
    EXPECT_THAT(message_of<DataError>([&] { ShardReader(folder.path(), entry); }),
                HasSubstr("must rise from 0 to 4"))
        << i;
  }
}

TEST_F(ShardDamage, AShardOfAnotherTokenizerIsRefused) {
  EXPECT_THAT(
      message_of<DataError>([&] { TokenDataset(folder_.path(), kTrainSplit, WideTokenizer(300).digest()); }),
      AllOf(HasSubstr(WideTokenizer(300).digest().text()), HasSubstr(ByteTokenizer().digest().text())));
  EXPECT_NO_THROW(TokenDataset(folder_.path(), kTrainSplit, ByteTokenizer().digest()));

  // A shard of another tokenizer slipped into the folder, with a manifest that names it rightly.
  const TemporaryFolder other;
  const auto foreign = write_prepared(other.path(), {some_tokens(50, 300)}, 1 << 20, WideTokenizer(300));
  manifest_.splits[0].shards.push_back(foreign.splits[0].shards[0]);
  manifest_.splits[0].shards.back().file = "train-00001.h5";
  std::filesystem::copy_file(other / "train-00000.h5", folder_ / "train-00001.h5");
  write_token_manifest(folder_.path(), manifest_);
  EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }),
              AllOf(HasSubstr("train-00001.h5"), HasSubstr("wide")));
}

TEST_F(ShardDamage, AShardOfAnotherFolderUnderThisNameIsRefused) {
  const TemporaryFolder other;
  auto tokens = some_tokens(3000);
  tokens[0] ^= 1;
  write_prepared(other.path(), {tokens, some_tokens(700)}, 1 << 20);
  std::filesystem::copy_file(other / entry_.file, path(), std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }), HasSubstr("metadata"));
}

TEST_F(ShardDamage, AShardOfAnotherSplitIsRefused) {
  manifest_.splits[0].name = kValidationSplit;
  write_token_manifest(folder_.path(), manifest_);
  EXPECT_THAT(message_of<DataError>([&] { TokenDataset(folder_.path(), kValidationSplit); }),
              AllOf(HasSubstr("'validation'"), HasSubstr("'train'")));
  EXPECT_THAT(message_of<DataError>([&] { open_and_read(); }), HasSubstr("one of: validation; got 'train'"));
}

}  // namespace
}  // namespace switchyard::data
