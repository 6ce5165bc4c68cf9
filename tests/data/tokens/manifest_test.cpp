#include "data/tokens/shard/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kernels/runtime/error.h"
#include "tests/data/support/prepared_folder.h"
#include "tests/data/support/temporary_folder.h"

namespace switchyard::data {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class TokenManifestFile : public testing::Test {
 protected:
  TokenManifestFile() : written_(write_prepared(folder_.path(), {{1, 2, 3}, {4, 5}}, 3)) {
    bytes_ = read_bytes(folder_ / kManifestFile);
  }
  std::string refusal() const {
    return message_of<DataError>([&] { read_token_manifest(folder_.path()); });
  }
  /// Writes `document` with a digest that fits, as someone who edits on purpose would.
  void write_with_digest(Json document) const {
    document.erase("digest");
    std::string text =
        "{\n  \"digest\": \"" + std::string(32, '0') + "\"," + document.dump(2).substr(1) + "\n";
    text.replace(15, 32, digest_of(text.data(), text.size()).text());
    write_bytes(folder_ / kManifestFile, text);
  }

  TemporaryFolder folder_;
  TokenManifest written_;
  std::string bytes_;
};

TEST_F(TokenManifestFile, IsReadBackAsWritten) {
  const TokenManifest found = read_token_manifest(folder_.path());
  EXPECT_EQ(found.tokenizer_json, written_.tokenizer_json);
  EXPECT_EQ(found.tokenizer_digest, written_.tokenizer_digest);
  EXPECT_EQ(found.tokenizer_name, "bytes");
  EXPECT_EQ(found.vocab_size, 257U);
  EXPECT_EQ(found.end_of_document, 256U);
  ASSERT_EQ(found.splits.size(), 1U);
  EXPECT_EQ(found.splits[0].shards, written_.splits[0].shards);
  write_with_digest(Json::parse(bytes_));
  EXPECT_EQ(read_bytes(folder_ / kManifestFile), bytes_) << "the digest is what this test takes it to be";
}

TEST_F(TokenManifestFile, AnyFlippedBitIsRefused) {
  for (std::size_t byte = 0; byte < bytes_.size(); ++byte) {
    flip_bit(folder_ / kManifestFile, byte, static_cast<int>(byte % 8));
    EXPECT_THAT(refusal(), HasSubstr("manifest.json")) << byte;
    flip_bit(folder_ / kManifestFile, byte, static_cast<int>(byte % 8));
  }
}

TEST_F(TokenManifestFile, AnyCutIsRefused) {
  for (std::size_t size = 0; size < bytes_.size(); size += 7) {
    write_bytes(folder_ / kManifestFile, bytes_.substr(0, size));
    EXPECT_THAT(refusal(), HasSubstr("manifest.json")) << size;
  }
}

TEST_F(TokenManifestFile, AnEditedNumberIsRefused) {
  std::string edited = bytes_;
  edited.replace(edited.find("\"tokens\": 3"), 11, "\"tokens\": 2");
  write_bytes(folder_ / kManifestFile, edited);
  EXPECT_THAT(refusal(), HasSubstr("edited or damaged"));
}

TEST_F(TokenManifestFile, AMissingFolderOrFileIsNamed) {
  EXPECT_THAT(message_of<DataError>([&] { read_token_manifest(folder_ / "absent"); }), HasSubstr("absent"));
  std::filesystem::remove(folder_ / kManifestFile);
  EXPECT_THAT(refusal(), HasSubstr("manifest.json"));
}

TEST_F(TokenManifestFile, EveryFieldKeepsItsRule) {
  const Json good = Json::parse(bytes_);
  const auto shard = Json::json_pointer("/splits/train/0");
  const std::vector<std::pair<std::string, Json>> edits = {
      {"/format", "other"},
      {"/version", 2},
      {"/extra", 1},
      {"/vocab_size", 0},
      {"/vocab_size", 1ULL << 40},
      {"/end_of_document", 257},
      {"/tokenizer", Json::array()},
      {"/tokenizer/name", ""},
      {"/splits", Json::object()},
      {"/splits", 5},
      {"/splits/train", Json::array()},
      {"/splits/train/0/file", "../train-00000.h5"},
      {"/splits/train/0/file", ".hidden.h5"},
      {"/splits/train/0/file", "a/b.h5"},
      {"/splits/train/0/file", ""},
      {"/splits/train/0/file", "train-00001.h5"},  // named twice
      {"/splits/train/0/bytes", -1},
      {"/splits/train/0/bytes", 1.5},
      {"/splits/train/0/bytes", 0},
      {"/splits/train/0/tokens", 0},
      {"/splits/train/0/tokens", ~0ULL},
      {"/splits/train/0/tokens_bytes", 7},
      {"/splits/train/0/tokens_offset", ~0ULL},
      {"/splits/train/0/documents", 4},
      {"/splits/train/0/tokens_digest", "00"},
      {"/splits/train/0/metadata_digest", std::string(32, 'g')},
      {"/splits/train/0/more", 1},
  };
  for (const auto& [place, value] : edits) {
    Json edited = good;
    edited[Json::json_pointer(place)] = value;
    write_with_digest(edited);
    EXPECT_FALSE(refusal().empty()) << place << " = " << value;
  }
  for (const auto& [key, value] : good[shard].items()) {
    Json edited = good;
    edited[shard].erase(key);
    write_with_digest(edited);
    EXPECT_THAT(refusal(), HasSubstr("'" + key + "'"));
  }
}

}  // namespace
}  // namespace switchyard::data
