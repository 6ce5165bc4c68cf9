#include "data/checkpoint/load/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "data/checkpoint/format/names.h"
#include "data/checkpoint/format/part.h"
#include "data/safetensors/header.h"
#include "kernels/runtime/check.h"

namespace switchyard::data {
namespace {

/// Read size. Divides kChunkBytes, and lets each piece be digested while it is in the cache.
constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;
static_assert(kChunkBytes % kPieceBytes == 0);

Rejection plain(std::filesystem::path path, std::string reason) {
  Rejection rejection;
  rejection.path = std::move(path);
  rejection.reason = std::move(reason);
  return rejection;
}

std::optional<Rejection> verify_size(const File& file, const PartFile& part) {
  const std::int64_t found = file.size_bytes();
  if (found == part.size_bytes) return {};
  Rejection rejection = plain(file.path(), "the file has the wrong size in bytes");
  rejection.begin = std::min(found, part.size_bytes);
  rejection.end = std::max(found, part.size_bytes);
  rejection.expected = std::to_string(part.size_bytes);
  rejection.found = std::to_string(found);
  return rejection;
}

Rejection wrong_digest(const File& file, std::string reason, std::int64_t begin, std::int64_t end,
                       const Digest& expected, const Digest& found) {
  Rejection rejection = plain(file.path(), std::move(reason));
  rejection.begin = begin;
  rejection.end = end;
  rejection.expected = expected.text();
  rejection.found = found.text();
  return rejection;
}

std::optional<Rejection> verify_digests(File& file, const PartFile& part) {
  std::vector<char> piece(static_cast<std::size_t>(std::min(part.size_bytes, kPieceBytes)));
  DigestStream whole;
  for (std::size_t index = 0; index < part.chunks.size(); ++index) {
    const std::int64_t begin = static_cast<std::int64_t>(index) * kChunkBytes;
    const std::int64_t end = std::min(begin + kChunkBytes, part.size_bytes);
    DigestStream chunk;
    for (std::int64_t at = begin; at < end;) {
      const auto count = static_cast<std::size_t>(std::min(end - at, kPieceBytes));
      if (file.read(at, piece.data(), count) != count)
        return plain(file.path(), "the file became shorter while it was read");
      chunk.update(piece.data(), count);
      whole.update(piece.data(), count);
      at += static_cast<std::int64_t>(count);
    }
    if (const Digest found = chunk.finish(); found != part.chunks[index]) {
      auto rejection = wrong_digest(file, "the digest differs", begin, end, part.chunks[index], found);
      rejection.chunk = static_cast<int>(index);
      return rejection;
    }
  }
  if (const Digest found = whole.finish(); found != part.digest)
    return wrong_digest(file, "the digest of the whole file differs, those of its chunks do not", 0,
                        part.size_bytes, part.digest, found);
  return {};
}

/// The part's own header must tell the same story as the manifest: same slices, same places.
std::optional<Rejection> verify_header(Io& io, const File& file, const Manifest& manifest, int index) {
  const SafetensorsHeader header = read_safetensors_header(io, file.open_file());
  std::unordered_map<std::string, const SafetensorsEntry*> entries;
  for (const auto& entry : header.entries) entries[entry.name] = &entry;
  std::size_t num_slices = 0;
  for (const auto& tensor : manifest.tensors)
    for (const auto& slice : tensor.slices) {
      if (slice.part != index) continue;
      ++num_slices;
      const auto found = entries.find(slice_entry_name(tensor, slice));
      if (found == entries.end() || found->second->begin != slice.offset ||
          found->second->dtype != safetensors_dtype(tensor.dtype) ||
          found->second->end - slice.offset !=
              (slice.end - slice.begin) * static_cast<std::int64_t>(dtype_size(tensor.dtype)))
        return plain(file.path(), fmt::format("the header has not what the manifest says of '{}'",
                                              slice_entry_name(tensor, slice)));
    }
  if (num_slices != header.entries.size())
    return plain(file.path(), fmt::format("the header has {} entries, the manifest {}", header.entries.size(),
                                          num_slices));
  return {};
}

std::optional<Rejection> verify_parts(Io& io, const std::filesystem::path& folder, const Manifest& manifest,
                                      bool check_digests) {
  for (const bool is_digest_pass : {false, true}) {
    if (is_digest_pass && !check_digests) break;
    for (std::size_t i = 0; i < manifest.parts.size(); ++i) {
      File file(io, io.open_read(folder / part_file_name(static_cast<int>(i)), FolderLink::refused));
      std::optional<Rejection> rejection = verify_size(file, manifest.parts[i]);
      if (is_digest_pass && !rejection) rejection = verify_digests(file, manifest.parts[i]);
      if (is_digest_pass && !rejection) rejection = verify_header(io, file, manifest, static_cast<int>(i));
      if (rejection) return rejection;
      file.close();
    }
  }
  return {};
}

/// Why a name in the root is no folder with a step's name; empty for our own lock files.
std::string refusal(const std::string& name, EntryKind kind) {
  if (name == kRunLockName || name == kLockGuardName) return "";
  if (name.rfind(kAttemptPrefix, 0) == 0) return "an unfinished save";
  if (name.rfind(kTrashPrefix, 0) == 0) return "a withdrawn checkpoint";
  if (!parse_step_folder_name(name)) return "the name is not step- and eight digits";
  if (kind == EntryKind::link) return "a symbolic link; links are not followed";
  return "not a folder";
}

}  // namespace

std::string Rejection::text() const {
  std::string text = path.string();
  if (chunk) text += fmt::format(", chunk {}", *chunk);
  if (begin != end) text += fmt::format(", bytes [{}, {})", begin, end);
  text += ": " + reason;
  if (!expected.empty()) text += fmt::format("; expected {}, found {}", expected, found);
  return text;
}

Manifest read_manifest(Io& io, const std::filesystem::path& folder) {
  const auto path = folder / kManifestName;
  Manifest manifest =
      parse_manifest(read_whole_file(io, path, FolderLink::refused, kMaxManifestBytes), path.string());
  const auto step = parse_step_folder_name(folder.filename().string());
  if (step && *step != manifest.step)
    throw CheckpointError(fmt::format("{}: the manifest is of step {}; the folder of step {}", path.string(),
                                      manifest.step, *step));
  return manifest;
}

std::optional<Rejection> verify_checkpoint(Io& io, const std::filesystem::path& folder,
                                           const Expectation& expectation) {
  try {
    const Manifest manifest = read_manifest(io, folder);
    if (expectation.run && *expectation.run != manifest.run) {
      Rejection rejection = plain(folder, "the checkpoint belongs to another run");
      rejection.expected = *expectation.run;
      rejection.found = manifest.run;
      return rejection;
    }
    return verify_parts(io, folder, manifest, expectation.check_digests);
  } catch (const Error& error) {
    return plain(folder, error.what());
  }
}

Listing list_checkpoints(Io& io, const std::filesystem::path& root) {
  Listing listing;
  if (io.stat(root).kind == EntryKind::absent) return listing;
  for (const auto& name : io.list(root)) {
    const auto path = root / name;
    const EntryKind kind = io.stat(path).kind;
    if (kind == EntryKind::absent) continue;  // removed between the two calls
    const auto step = parse_step_folder_name(name);
    if (step && kind == EntryKind::folder)
      listing.candidates.push_back({*step, path});
    else if (std::string reason = refusal(name, kind); !reason.empty())
      listing.refused.push_back(plain(path, std::move(reason)));
  }
  std::sort(listing.candidates.begin(), listing.candidates.end(),
            [](const auto& a, const auto& b) { return a.step > b.step; });
  return listing;
}

Newest find_newest(Io& io, const std::filesystem::path& root, const Expectation& expectation) {
  SWITCHYARD_CHECK(expectation.check_digests, "a checkpoint to resume from must have its digests checked");
  Listing listing = list_checkpoints(io, root);
  Newest newest;
  newest.num_candidates = listing.candidates.size();
  for (auto& candidate : listing.candidates) {
    if (candidate.step > expectation.newest_step) continue;
    if (auto rejection = verify_checkpoint(io, candidate.path, expectation)) {
      newest.rejections.push_back(std::move(*rejection));
      continue;
    }
    newest.checkpoint = std::move(candidate);
    break;
  }
  for (auto& refused : listing.refused) newest.rejections.push_back(std::move(refused));
  return newest;
}

}  // namespace switchyard::data
