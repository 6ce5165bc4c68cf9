#include "data/checkpoint/format/part.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/checkpoint/format/names.h"
#include "data/safetensors/safetensors_file.h"
#include "kernels/runtime/check.h"

namespace switchyard::data {
namespace {

using nlohmann::json;

/// Largest piece digested and written at a time: it stays in the cache between the three digests and the
/// write.
constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;

bool is_whole(std::int64_t elements, std::int64_t begin, std::int64_t end) {
  return begin == 0 && end == elements;
}

std::string entry_name(const std::string& name, std::int64_t elements, std::int64_t begin, std::int64_t end) {
  return is_whole(elements, begin, end) ? name : fmt::format("{}[{}:{}]", name, begin, end);
}

/// Digests a file's bytes as they pass, whole and by chunk.
class FileDigests {
 public:
  void update(const void* bytes, std::size_t size) {
    const auto* next = static_cast<const char*>(bytes);
    while (size > 0) {
      const auto count = static_cast<std::size_t>(
          std::min(static_cast<std::int64_t>(size), kChunkBytes - part_.size_bytes % kChunkBytes));
      whole_.update(next, count);
      chunk_.update(next, count);
      part_.size_bytes += static_cast<std::int64_t>(count);
      if (part_.size_bytes % kChunkBytes == 0) end_chunk();
      next += count;
      size -= count;
    }
  }
  PartFile finish() {
    if (part_.size_bytes % kChunkBytes != 0) end_chunk();
    part_.digest = whole_.finish();
    return std::move(part_);
  }

 private:
  void end_chunk() {
    part_.chunks.push_back(chunk_.finish());
    chunk_ = DigestStream();
  }
  PartFile part_;
  DigestStream whole_, chunk_;
};

/// The bytes of a slice, a piece at a time: where they lie, or made by a source.
class SliceBytes {
 public:
  explicit SliceBytes(const SliceSource* source) : source_(source) {}

  /// Bytes [offset, offset + count) of the slice; valid until the next call.
  const char* piece(const TensorSlice& slice, std::int64_t offset, std::int64_t count) {
    if (source_ == nullptr) return static_cast<const char*>(slice.data) + offset;
    const auto element = static_cast<std::int64_t>(dtype_size(slice.dtype));
    made_.resize(static_cast<std::size_t>(count));
    (*source_)(slice, slice.begin + offset / element, slice.begin + (offset + count) / element, made_.data());
    return made_.data();
  }

 private:
  const SliceSource* source_;
  std::vector<char> made_;
};

void check_slice(const TensorSlice& slice) {
  check_tensor_name(slice.name, "checkpoint");
  const auto elements = element_count(slice.shape);
  SWITCHYARD_CHECK(elements && slice.shape.size() <= kMaxTensorDims && slice.begin >= 0 &&
                       slice.begin <= slice.end && slice.end <= *elements,
                   "slice [{}, {}) of tensor '{}' with shape [{}]", slice.begin, slice.end, slice.name,
                   fmt::join(slice.shape, ", "));
}

std::vector<SafetensorsSpec> specs_of(std::span<const TensorSlice> slices) {
  std::vector<SafetensorsSpec> specs;
  for (const auto& slice : slices) {
    check_slice(slice);
    if (slice.begin == slice.end) continue;
    const std::int64_t elements = *element_count(slice.shape);
    specs.push_back({entry_name(slice.name, elements, slice.begin, slice.end),
                     std::string(safetensors_dtype(slice.dtype)),
                     is_whole(elements, slice.begin, slice.end)
                         ? slice.shape
                         : std::vector<std::int64_t>{slice.end - slice.begin}});
  }
  return specs;
}

}  // namespace

std::string slice_entry_name(const TensorRecord& tensor, const SliceRecord& slice) {
  return entry_name(tensor.name, tensor.elements(), slice.begin, slice.end);
}

std::int64_t part_file_bytes(std::span<const TensorSlice> slices) {
  const auto header = plan_safetensors(specs_of(slices), {}).first;
  return header.entries.empty() ? header.data_begin : header.entries.back().end;
}

namespace {

PartRecord write_slices(Io& io, const std::filesystem::path& attempt, int index,
                        std::span<const TensorSlice> slices, SliceBytes bytes) {
  SWITCHYARD_CHECK(index >= 0 && index < kMaxParts, "part index {}", index);
  std::unordered_map<std::string, const TensorSlice*> by_name;
  PartRecord record;
  record.index = index;
  for (const auto& slice : slices) {
    check_slice(slice);
    if (slice.begin < slice.end)
      by_name[entry_name(slice.name, *element_count(slice.shape), slice.begin, slice.end)] = &slice;
    else  // nothing to write, but the committer must hear of tensors without elements
      record.slices.push_back({slice.name, slice.dtype, slice.shape, {index, 0, slice.begin, slice.end, {}}});
  }
  SafetensorsWriter writer(io, attempt / part_file_name(index), specs_of(slices), {});
  FileDigests digests;
  digests.update(writer.opening().data(), writer.opening().size());
  for (const auto& entry : writer.header().entries) {
    const TensorSlice& slice = *by_name.at(entry.name);
    DigestStream slice_digest;
    for (std::int64_t at = entry.begin; at < entry.end;) {
      const std::int64_t count = std::min(entry.end - at, kPieceBytes);
      const char* piece = bytes.piece(slice, at - entry.begin, count);
      digests.update(piece, static_cast<std::size_t>(count));
      slice_digest.update(piece, static_cast<std::size_t>(count));
      writer.append(piece, static_cast<std::size_t>(count));
      at += count;
    }
    record.slices.push_back({slice.name,
                             slice.dtype,
                             slice.shape,
                             {index, entry.begin, slice.begin, slice.end, slice_digest.finish()}});
  }
  writer.finish();
  record.file = digests.finish();
  return record;
}

}  // namespace

PartRecord write_part(Io& io, const std::filesystem::path& attempt, int index,
                      std::span<const TensorSlice> slices) {
  for (const auto& slice : slices)
    SWITCHYARD_CHECK(slice.data != nullptr || slice.begin >= slice.end,
                     "slice [{}, {}) of tensor '{}' without data", slice.begin, slice.end, slice.name);
  return write_slices(io, attempt, index, slices, SliceBytes(nullptr));
}

PartRecord write_part(Io& io, const std::filesystem::path& attempt, int index,
                      std::span<const TensorSlice> slices, const SliceSource& source) {
  return write_slices(io, attempt, index, slices, SliceBytes(&source));
}

std::string PartRecord::text() const {
  json chunks = json::array(), list = json::array();
  for (const auto& chunk : file.chunks) chunks.push_back(chunk.text());
  for (const auto& slice : slices)
    list.push_back({slice.name, safetensors_dtype(slice.dtype), slice.shape, slice.record.offset,
                    slice.record.begin, slice.record.end, slice.record.digest.text()});
  try {
    return json({{"index", index},
                 {"size_bytes", file.size_bytes},
                 {"digest", file.digest.text()},
                 {"chunks", std::move(chunks)},
                 {"slices", std::move(list)}})
        .dump();
  } catch (const json::exception& error) {
    throw InternalError(fmt::format("internal: tensor names must be UTF-8: {}", error.what()));
  }
}

PartRecord PartRecord::parse(std::string_view text) {
  try {
    const json document = json::parse(text.begin(), text.end());
    PartRecord record;
    record.index = document.at("index").get<int>();
    record.file.size_bytes = document.at("size_bytes").get<std::int64_t>();
    record.file.digest = Digest::parse(document.at("digest").get<std::string>());
    for (const json& chunk : document.at("chunks"))
      record.file.chunks.push_back(Digest::parse(chunk.get<std::string>()));
    for (const json& item : document.at("slices")) {
      const auto dtype = dtype_of_safetensors(item.at(1).get<std::string>());
      SWITCHYARD_CHECK(dtype, "part record: dtype '{}'", item.at(1).get<std::string>());
      record.slices.push_back(
          {item.at(0).get<std::string>(),
           *dtype,
           item.at(2).get<std::vector<std::int64_t>>(),
           {record.index, item.at(3).get<std::int64_t>(), item.at(4).get<std::int64_t>(),
            item.at(5).get<std::int64_t>(), Digest::parse(item.at(6).get<std::string>())}});
    }
    return record;
  } catch (const json::exception& error) {
    throw InternalError(fmt::format("internal: a part record does not parse: {}", error.what()));
  } catch (const DataError& error) {
    throw InternalError(fmt::format("internal: a part record does not parse: {}", error.what()));
  }
}

}  // namespace switchyard::data
