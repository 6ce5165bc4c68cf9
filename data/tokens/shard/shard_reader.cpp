#include "data/tokens/shard/shard_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/runtime/check.h"

namespace switchyard::data {

namespace {

constexpr const char* kRemedy = "copy the file again from its source, or run `switchyard prepare` again";

/// Opens, refusing sizes that differ before anything is mapped or parsed.
MappedFile map_shard(const std::filesystem::path& path, std::uint64_t expected_bytes) {
  const InputFile file(path);
  if (file.size() == 0)
    throw DataError(fmt::format("data: a token shard must have {} bytes; got an empty file ({}): {}",
                                expected_bytes, path.string(), kRemedy));
  if (file.size() != expected_bytes)
    throw DataError(fmt::format(
        "data: a token shard must have the {} bytes its manifest names; got {} bytes, {} ({}): {}",
        expected_bytes, file.size(), file.size() < expected_bytes ? "it was cut short" : "bytes were added",
        path.string(), kRemedy));
  return MappedFile(file);
}

Digest digest_outside(const MappedFile& file, std::uint64_t begin, std::uint64_t end) {
  DigestStream digest;
  digest.update(file.data(), begin);
  digest.update(file.data() + end, file.size() - end);
  return digest.finish();
}

/// [offset, offset + bytes) must lie in the file.
void require_inside(const std::filesystem::path& path, const char* name, std::uint64_t offset,
                    std::uint64_t bytes, std::uint64_t file_bytes) {
  if (offset > file_bytes || bytes > file_bytes - offset)
    throw DataError(
        fmt::format("data: '{}' must lie inside the file of {} bytes; got bytes [{}, {} + {}) ({}): {}", name,
                    file_bytes, offset, offset, bytes, path.string(), kRemedy));
}

}  // namespace

ShardReader::ShardReader(const std::filesystem::path& folder, const ShardEntry& entry)
    : path_(folder / entry.file), file_(map_shard(path_, entry.bytes)) {
  verify_metadata(entry);
  layout_ = read_shard_layout(path_);
  width_ = token_width(layout_.attributes.vocab_size);
  verify_layout(entry);
  verify_document_offsets();
  is_verified_ = std::make_unique<std::atomic<bool>[]>(layout_.num_blocks);
}

void ShardReader::verify_metadata(const ShardEntry& entry) const {
  require_inside(path_, "tokens", entry.tokens_offset, entry.tokens_bytes, file_.size());
  const std::uint64_t end = entry.tokens_offset + entry.tokens_bytes;
  const Digest found = digest_outside(file_, entry.tokens_offset, end);
  if (found != entry.metadata_digest)
    throw DataError(
        fmt::format("data: the metadata of a token shard (bytes [0, {}) and [{}, {})) must have digest {}; "
                    "got {} ({}): {}",
                    entry.tokens_offset, end, file_.size(), entry.metadata_digest.text(), found.text(),
                    path_.string(), kRemedy));
}

void ShardReader::verify_layout(const ShardEntry& entry) const {
  require_inside(path_, "tokens", layout_.tokens_offset, layout_.num_tokens * width_, file_.size());
  require_inside(path_, "document_offsets", layout_.document_offsets_offset, (layout_.num_parts + 1) * 8,
                 file_.size());
  require_inside(path_, "block_digests", layout_.block_digests_offset, layout_.num_blocks * 16, file_.size());
  const std::uint64_t documents = layout_.num_parts - (layout_.attributes.continues_document ? 1 : 0);
  if (layout_.num_tokens != entry.tokens || layout_.tokens_offset != entry.tokens_offset ||
      layout_.num_tokens * width_ != entry.tokens_bytes || documents != entry.documents)
    throw DataError(fmt::format(
        "data: a token shard must hold the {} tokens in {} bytes at byte {} and the {} documents that its "
        "manifest names; "
        "got {} tokens in {} bytes at byte {} and {} documents ({}): {}",
        entry.tokens, entry.tokens_bytes, entry.tokens_offset, entry.documents, layout_.num_tokens,
        layout_.num_tokens * width_, layout_.tokens_offset, documents, path_.string(), kRemedy));
  const Digest found = digest_of(file_.data() + layout_.block_digests_offset, layout_.num_blocks * 16);
  if (found != entry.tokens_digest)
    throw DataError(
        fmt::format("data: the block digests of a token shard must have digest {}; got {} ({}): {}",
                    entry.tokens_digest.text(), found.text(), path_.string(), kRemedy));
}

void ShardReader::verify_document_offsets() const {
  std::uint64_t previous = document_offset(0);
  bool is_rising = previous == 0;
  for (std::uint64_t part = 1; part <= layout_.num_parts && is_rising; ++part) {
    const std::uint64_t next = document_offset(part);
    is_rising = next > previous;
    previous = next;
  }
  if (!is_rising || previous != layout_.num_tokens)
    throw DataError(fmt::format("data: document_offsets must rise from 0 to {} ({}): {}", layout_.num_tokens,
                                path_.string(), kRemedy));
}

std::uint64_t ShardReader::document_offset(std::uint64_t index) const {
  SWITCHYARD_CHECK(index <= layout_.num_parts, "document part {} of {}", index, layout_.num_parts);
  std::uint64_t offset = 0;
  std::memcpy(&offset, file_.data() + layout_.document_offsets_offset + index * 8, 8);
  return offset;
}

Digest ShardReader::block_digest(std::uint64_t block) const {
  SWITCHYARD_CHECK(block < layout_.num_blocks, "block {} of {}", block, layout_.num_blocks);
  Digest digest;
  std::memcpy(&digest.high, file_.data() + layout_.block_digests_offset + block * 16, 8);
  std::memcpy(&digest.low, file_.data() + layout_.block_digests_offset + block * 16 + 8, 8);
  return digest;
}

ByteRange ShardReader::block_range(std::uint64_t block) const {
  const std::uint64_t begin = layout_.tokens_offset + block * kBlockBytes;
  return {begin, std::min(begin + kBlockBytes, layout_.tokens_offset + layout_.num_tokens * width_)};
}

void ShardReader::verify_block(std::uint64_t block) const {
  if (is_verified_[block].load(std::memory_order_acquire)) return;
  const ByteRange range = block_range(block);
  const Digest expected = block_digest(block);
  const Digest found = digest_of(file_.data() + range.begin, range.end - range.begin);
  if (found != expected)
    throw DataError(fmt::format(
        "data: token block {} of {} (bytes [{}, {})) must have digest {}; got {} ({}): {}", block,
        layout_.num_blocks, range.begin, range.end, expected.text(), found.text(), path_.string(), kRemedy));
  is_verified_[block].store(true, std::memory_order_release);
}

template <typename Stored>
void ShardReader::copy_tokens(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const {
  const std::byte* source = file_.data() + layout_.tokens_offset + begin * sizeof(Stored);
  Stored highest = 0;
  for (std::uint64_t index = 0; index < count; ++index) {
    Stored token = 0;
    std::memcpy(&token, source + index * sizeof(Stored), sizeof(Stored));
    highest = std::max(highest, token);
    out[index] = static_cast<std::int32_t>(token);
  }
  if (highest >= layout_.attributes.vocab_size)
    throw DataError(fmt::format(
        "data: tokens must be below the vocabulary size {}; got {} among tokens [{}, {}) ({}): {}",
        layout_.attributes.vocab_size, highest, begin, begin + count, path_.string(), kRemedy));
}

void ShardReader::tokens(std::uint64_t begin, std::uint64_t count, std::int32_t* out) const {
  SWITCHYARD_CHECK(begin <= num_tokens() && count <= num_tokens() - begin, "tokens [{}, {} + {}) of {}",
                   begin, begin, count, num_tokens());
  if (count == 0) return;
  const std::uint64_t last = ((begin + count) * width_ - 1) / kBlockBytes;
  for (std::uint64_t block = begin * width_ / kBlockBytes; block <= last; ++block) verify_block(block);
  if (width_ == 2) {
    copy_tokens<std::uint16_t>(begin, count, out);
  } else {
    copy_tokens<std::uint32_t>(begin, count, out);
  }
}

void ShardReader::verify_all() const {
  const std::uint64_t block_tokens = kBlockBytes / width_;
  std::vector<std::int32_t> buffer(std::min(block_tokens, num_tokens()));
  for (std::uint64_t begin = 0; begin < num_tokens(); begin += block_tokens)
    tokens(begin, std::min(block_tokens, num_tokens() - begin), buffer.data());
}

ShardEntry describe_shard(const std::filesystem::path& path) {
  const MappedFile file{InputFile(path)};
  const ShardLayout layout = read_shard_layout(path);
  ShardEntry entry;
  entry.file = path.filename().string();
  entry.bytes = file.size();
  entry.tokens = layout.num_tokens;
  entry.documents = layout.num_parts - (layout.attributes.continues_document ? 1 : 0);
  entry.tokens_offset = layout.tokens_offset;
  entry.tokens_bytes = layout.num_tokens * token_width(layout.attributes.vocab_size);
  require_inside(path, "tokens", entry.tokens_offset, entry.tokens_bytes, file.size());
  require_inside(path, "block_digests", layout.block_digests_offset, layout.num_blocks * 16, file.size());
  entry.tokens_digest = digest_of(file.data() + layout.block_digests_offset, layout.num_blocks * 16);
  entry.metadata_digest = digest_outside(file, entry.tokens_offset, entry.tokens_offset + entry.tokens_bytes);
  return entry;
}

}  // namespace switchyard::data
