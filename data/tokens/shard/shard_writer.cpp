#include "data/tokens/shard/shard_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {

/// A dot-named file of raw bytes that is removed with the object.
class Spool {
 public:
  explicit Spool(std::filesystem::path path) : path_(std::move(path)), file_(path_) {
    buffer_.reserve(kBlockBytes);
  }
  ~Spool() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  /// Takes as many bytes as fit into the current block; returns how many.
  std::size_t put(const void* bytes, std::size_t size) {
    const std::size_t count = std::min(size, static_cast<std::size_t>(kBlockBytes) - buffer_.size());
    const auto* first = static_cast<const std::byte*>(bytes);
    buffer_.insert(buffer_.end(), first, first + count);
    return count;
  }
  const std::vector<std::byte>& block() const { return buffer_; }
  bool is_block_full() const { return buffer_.size() == kBlockBytes; }
  void flush() {
    file_.append(buffer_.data(), buffer_.size());
    buffer_.clear();
  }
  void read_at(std::uint64_t offset, void* out, std::size_t size) const { file_.read_at(offset, out, size); }

 private:
  std::filesystem::path path_;
  OutputFile file_;
  std::vector<std::byte> buffer_;
};

}  // namespace

struct ShardWriter::OpenShard {
  OpenShard(const std::filesystem::path& folder, const std::string& name)
      : file(name),
        tokens(folder / fmt::format(".{}.tokens", name)),
        offsets(folder / fmt::format(".{}.offsets", name)) {}

  void put_tokens(std::span<const std::int32_t> values, std::uint32_t width, std::uint64_t vocab_size);
  void put_offset(std::uint64_t offset) {
    offsets.put(&offset, 8);
    if (offsets.is_block_full()) offsets.flush();
  }
  void end_block() {
    block_digests.push_back(digest_of(tokens.block().data(), tokens.block().size()));
    tokens.flush();
  }

  std::string file;
  Spool tokens;
  Spool offsets;
  std::uint64_t num_tokens = 0;
  std::uint64_t num_parts = 0;
  bool continues_document = false;
  std::vector<Digest> block_digests;
};

void ShardWriter::OpenShard::put_tokens(std::span<const std::int32_t> values, std::uint32_t width,
                                        std::uint64_t vocab_size) {
  for (const std::int32_t token : values) {
    SWITCHYARD_CHECK(token >= 0 && static_cast<std::uint64_t>(token) < vocab_size,
                     "token {} of vocabulary {}", token, vocab_size);
    tokens.put(&token, width);  // little-endian: the low bytes come first
    if (tokens.is_block_full()) end_block();
  }
  num_tokens += values.size();
}

ShardWriter::ShardWriter(std::filesystem::path folder, std::string split, const Tokenizer& tokenizer,
                         std::uint64_t tokens_per_shard)
    : folder_(std::move(folder)), tokens_per_shard_(tokens_per_shard) {
  SWITCHYARD_CHECK(tokens_per_shard >= 1 && tokens_per_shard <= kMaxShardTokens, "tokens_per_shard {}",
                   tokens_per_shard);
  attributes_.vocab_size = static_cast<std::uint64_t>(tokenizer.vocab_size());
  attributes_.tokenizer_name = tokenizer.name();
  attributes_.tokenizer_digest = tokenizer.digest();
  attributes_.end_of_document = static_cast<std::uint64_t>(tokenizer.end_of_document());
  attributes_.split = std::move(split);
}

ShardWriter::~ShardWriter() = default;

void ShardWriter::open_shard() {
  shard_ =
      std::make_unique<OpenShard>(folder_, fmt::format("{}-{:05}.h5", attributes_.split, entries_.size()));
  shard_->continues_document = in_document_;
  if (in_document_) {
    shard_->put_offset(0);
    shard_->num_parts = 1;
  }
}

void ShardWriter::append(std::span<const std::int32_t> tokens) {
  while (!tokens.empty()) {
    if (!shard_) open_shard();
    if (!in_document_) {
      shard_->put_offset(shard_->num_tokens);
      ++shard_->num_parts;
      in_document_ = true;
    }
    const std::size_t count = std::min<std::uint64_t>(tokens.size(), tokens_per_shard_ - shard_->num_tokens);
    shard_->put_tokens(tokens.first(count), token_width(attributes_.vocab_size), attributes_.vocab_size);
    tokens = tokens.subspan(count);
    if (shard_->num_tokens == tokens_per_shard_) close_shard();
  }
}

void ShardWriter::end_document() {
  in_document_ = false;
}

void ShardWriter::close_shard() {
  OpenShard& shard = *shard_;
  if (!shard.tokens.block().empty()) shard.end_block();
  shard.put_offset(shard.num_tokens);
  if (!shard.offsets.block().empty()) shard.offsets.flush();

  const std::uint32_t width = token_width(attributes_.vocab_size);
  ShardContents contents;
  contents.attributes = attributes_;
  contents.attributes.continues_document = shard.continues_document;
  contents.num_tokens = shard.num_tokens;
  contents.num_parts = shard.num_parts;
  contents.block_digests = std::move(shard.block_digests);
  contents.read_tokens = [&](std::uint64_t first, std::size_t count, void* out) {
    shard.tokens.read_at(first * width, out, count * width);
  };
  contents.read_document_offsets = [&](std::uint64_t first, std::size_t count, void* out) {
    shard.offsets.read_at(first * 8, out, count * 8);
  };
  const auto temporary = folder_ / fmt::format(".{}.partial", shard.file);
  try {
    write_shard_file(temporary, contents);
    sync_path(temporary);
    rename_durably(temporary, folder_ / shard.file);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
  entries_.push_back(describe_shard(folder_ / shard.file));
  // The digests were taken as the tokens came in: this read says that the disk holds them.
  ShardReader(folder_, entries_.back()).verify_all();
  shard_.reset();
}

SplitEntry ShardWriter::finish() {
  if (shard_) close_shard();
  return {attributes_.split, std::move(entries_)};
}

}  // namespace switchyard::data
