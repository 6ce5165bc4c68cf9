#include "data/checkpoint/load/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "data/checkpoint/format/names.h"
#include "data/checkpoint/load/verify.h"
#include "data/safetensors/header.h"

namespace switchyard::data {
namespace {

/// Feeds values so that no two different sequences of them give the same bytes.
class Feeder {
 public:
  explicit Feeder(DigestStream& stream) : stream_(stream) {}
  void integer(std::int64_t value) {
    unsigned char raw[8];
    for (int i = 0; i < 8; ++i)
      raw[i] = static_cast<unsigned char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
    stream_.update(raw, sizeof raw);
  }
  void text(std::string_view value) {
    integer(static_cast<std::int64_t>(value.size()));
    stream_.update(value.data(), value.size());
  }

 private:
  DigestStream& stream_;
};

std::int64_t chunk_begin(std::int64_t chunk) {
  return chunk * kChunkBytes;
}

}  // namespace

CheckpointReader::CheckpointReader(Io& io, std::filesystem::path folder)
    : io_(io), folder_(std::move(folder)), manifest_(read_manifest(io, folder_)) {
  for (std::size_t i = 0; i < manifest_.tensors.size(); ++i) index_[manifest_.tensors[i].name] = i;
}

const TensorRecord* CheckpointReader::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &manifest_.tensors[found->second];
}

void CheckpointReader::read(std::string_view name, std::int64_t begin, std::int64_t end, void* out) {
  const TensorRecord* tensor = find(name);
  if (tensor == nullptr)
    throw CheckpointError(fmt::format("checkpoint '{}' has no tensor '{}'", folder_.string(), name));
  if (begin < 0 || begin > end || end > tensor->elements())
    throw CheckpointError(fmt::format("checkpoint '{}': tensor '{}' has {} elements; asked for [{}, {})",
                                      folder_.string(), name, tensor->elements(), begin, end));
  const auto element_bytes = static_cast<std::int64_t>(dtype_size(tensor->dtype));
  auto slice = std::upper_bound(tensor->slices.begin(), tensor->slices.end(), begin,
                                [](std::int64_t at, const SliceRecord& record) { return at < record.end; });
  for (std::int64_t at = begin; at < end; ++slice) {
    const std::int64_t stop = std::min(end, slice->end);
    read_bytes(slice->part, slice->offset + (at - slice->begin) * element_bytes,
               slice->offset + (stop - slice->begin) * element_bytes,
               static_cast<char*>(out) + (at - begin) * element_bytes);
    at = stop;
  }
}

CheckpointReader::OpenPart& CheckpointReader::open_part(int part) {
  const auto found = std::find_if(open_parts_.begin(), open_parts_.end(),
                                  [&](const OpenPart& open) { return open.part == part; });
  if (found != open_parts_.end()) {
    open_parts_.splice(open_parts_.begin(), open_parts_, found);
    return open_parts_.front();
  }
  if (open_parts_.size() >= kOpenParts) open_parts_.pop_back();
  open_parts_.push_front(
      {part, File(io_, io_.open_read(folder_ / part_file_name(part), FolderLink::refused)), -1, {}});
  return open_parts_.front();
}

void CheckpointReader::read_chunk(OpenPart& open, std::int64_t chunk, char* out) {
  const PartFile& part = manifest_.parts[static_cast<std::size_t>(open.part)];
  const std::int64_t begin = chunk_begin(chunk);
  const std::int64_t end = std::min(begin + kChunkBytes, part.size_bytes);
  const std::size_t count = open.file.read(begin, out, static_cast<std::size_t>(end - begin));
  Rejection rejection;
  rejection.path = open.file.path();
  rejection.chunk = static_cast<int>(chunk);
  rejection.begin = begin;
  rejection.end = end;
  rejection.expected = part.chunks[static_cast<std::size_t>(chunk)].text();
  rejection.found = digest_of(out, count).text();
  if (rejection.expected == rejection.found) return;
  rejection.reason = "the digest differs";
  throw CheckpointError(rejection.text());
}

void CheckpointReader::read_bytes(int part, std::int64_t begin, std::int64_t end, char* out) {
  OpenPart& open = open_part(part);
  const std::int64_t part_bytes = manifest_.parts[static_cast<std::size_t>(part)].size_bytes;
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t chunk = at / kChunkBytes;
    const std::int64_t chunk_end = std::min(chunk_begin(chunk + 1), part_bytes);
    const std::int64_t stop = std::min(end, chunk_end);
    if (at == chunk_begin(chunk) && stop == chunk_end) {
      read_chunk(open, chunk, out + (at - begin));  // wanted whole: no copy
    } else {
      if (open.chunk != chunk) {
        open.chunk = -1;  // until the new bytes have passed
        open.bytes.resize(static_cast<std::size_t>(chunk_end - chunk_begin(chunk)));
        read_chunk(open, chunk, open.bytes.data());
        open.chunk = chunk;
      }
      std::memcpy(out + (at - begin), open.bytes.data() + (at - chunk_begin(chunk)),
                  static_cast<std::size_t>(stop - at));
    }
    at = stop;
  }
}

Digest CheckpointReader::tensor_digest() {
  DigestStream stream;
  Feeder feed(stream);
  std::vector<char> piece(static_cast<std::size_t>(kChunkBytes));
  feed.integer(static_cast<std::int64_t>(tensors().size()));
  for (const auto& tensor : tensors()) {
    feed.text(tensor.name);
    feed.text(safetensors_dtype(tensor.dtype));
    feed.integer(static_cast<std::int64_t>(tensor.shape.size()));
    for (const std::int64_t dim : tensor.shape) feed.integer(dim);
    const auto element_bytes = static_cast<std::int64_t>(dtype_size(tensor.dtype));
    const std::int64_t piece_elements = kChunkBytes / element_bytes;
    for (std::int64_t at = 0; at < tensor.elements(); at += piece_elements) {
      const std::int64_t stop = std::min(at + piece_elements, tensor.elements());
      read(tensor.name, at, stop, piece.data());
      stream.update(piece.data(), static_cast<std::size_t>((stop - at) * element_bytes));
    }
  }
  std::map<std::string, StateValue> chosen;  // by key, each once, whatever order the writer listed them in
  for (const auto& key : manifest_.continuation) chosen[key] = manifest_.state.at(key);
  feed.integer(static_cast<std::int64_t>(chosen.size()));
  for (const auto& [key, value] : chosen) {
    feed.text(key);
    feed.integer(static_cast<std::int64_t>(value.index()));
    if (const auto* number = std::get_if<std::int64_t>(&value))
      feed.integer(*number);
    else
      feed.text(std::get<std::string>(value));
  }
  return stream.finish();
}

}  // namespace switchyard::data
