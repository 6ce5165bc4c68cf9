#include "data/checkpoint/save/attempt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "data/checkpoint/format/names.h"
#include "data/checkpoint/keep/remove.h"
#include "data/checkpoint/load/verify.h"
#include "kernels/runtime/check.h"

namespace switchyard::data {
namespace {

void make_root(Io& io, const std::filesystem::path& root) {
  if (io.stat(root).kind != EntryKind::absent) return;
  io.make_folder(root);
  const auto parent = root.parent_path();
  io.sync_folder(parent.empty() ? std::filesystem::path(".") : parent);
}

void check_free_space(Io& io, const std::filesystem::path& root, std::int64_t expected_bytes) {
  const std::int64_t needed = expected_bytes + expected_bytes / 10;
  const std::int64_t free = io.free_bytes(root);
  if (free < needed)
    throw DiskError(
        fmt::format("checkpoint: a save in '{}' needs {} bytes ({} and a tenth); {} are free; free "
                    "space there or lower checkpoint.keep",
                    root.string(), needed, expected_bytes, free));
}

std::vector<PartFile> collect_parts(std::span<const PartRecord> parts, const std::string& place) {
  std::vector<PartFile> files(parts.size());
  std::vector<bool> is_seen(parts.size());
  for (const auto& part : parts) {
    if (part.index < 0 || static_cast<std::size_t>(part.index) >= parts.size())
      throw CheckpointError(fmt::format("{}: {} parts must have the indices 0 to {}; got {}", place,
                                        parts.size(), parts.size() - 1, part.index));
    const auto index = static_cast<std::size_t>(part.index);
    if (is_seen[index]) throw CheckpointError(fmt::format("{}: part {} is given twice", place, index));
    is_seen[index] = true;
    files[index] = part.file;
  }
  return files;
}

std::vector<TensorRecord> collect_tensors(std::span<const PartRecord> parts, const std::string& place) {
  std::map<std::string, TensorRecord> tensors;
  for (const auto& part : parts)
    for (const auto& slice : part.slices) {
      const auto [found, is_new] =
          tensors.try_emplace(slice.name, TensorRecord{slice.name, slice.dtype, slice.shape, {}});
      TensorRecord& tensor = found->second;
      if (tensor.dtype != slice.dtype || tensor.shape != slice.shape)
        throw CheckpointError(fmt::format("{}: tensor '{}' is {} [{}] in one part and {} [{}] in part {}",
                                          place, slice.name, dtype_name(tensor.dtype),
                                          fmt::join(tensor.shape, ", "), dtype_name(slice.dtype),
                                          fmt::join(slice.shape, ", "), part.index));
      if (slice.record.begin < slice.record.end) tensor.slices.push_back(slice.record);
    }
  std::vector<TensorRecord> list;
  for (auto& [name, tensor] : tensors) {
    check_slices_cover(tensor, place);
    list.push_back(std::move(tensor));
  }
  return list;
}

Manifest assemble(const CommitSpec& spec, std::span<const PartRecord> parts, const std::string& place) {
  Manifest manifest;
  manifest.step = spec.step;
  manifest.run = spec.run;
  manifest.config_digest = spec.config_digest;
  manifest.state = spec.state;
  manifest.continuation = spec.continuation;
  for (const auto& key : spec.continuation)
    SWITCHYARD_CHECK(spec.state.count(key) != 0, "continuation names '{}', which the state lacks", key);
  manifest.parts = collect_parts(parts, place);
  manifest.tensors = collect_tensors(parts, place);
  return manifest;
}

/// A folder that already has the final name: a valid one is never replaced, a damaged one makes room.
void clear_target(Io& io, const std::filesystem::path& target, const std::filesystem::path& attempt) {
  if (io.stat(target).kind == EntryKind::absent) return;
  if (!verify_checkpoint(io, target, {}))
    throw CheckpointError(
        fmt::format("checkpoint: '{}' exists and is valid; it is not replaced", target.string()));
  withdraw(io, target, attempt.filename().string());
}

}  // namespace

std::filesystem::path begin_attempt(Io& io, const std::filesystem::path& root, const AttemptSpec& spec) {
  make_root(io, root);
  check_free_space(io, root, spec.expected_bytes);
  const auto attempt = root / fmt::format("{}{}-{}-{}", kAttemptPrefix, step_folder_name(spec.step),
                                          name_component(spec.job), name_component(spec.nonce));
  io.make_folder(attempt);
  return attempt;
}

std::filesystem::path commit(Io& io, const std::filesystem::path& attempt, const CommitSpec& spec,
                             std::span<const PartRecord> parts) {
  const auto root = attempt.parent_path();
  const auto target = root / step_folder_name(spec.step);
  const Manifest manifest = assemble(spec, parts, fmt::format("checkpoint of step {}", spec.step));
  for (std::size_t i = 0; i < manifest.parts.size(); ++i) {
    const auto path = attempt / part_file_name(static_cast<int>(i));
    const EntryStatus status = io.stat(path);
    if (status.kind != EntryKind::file || status.size_bytes != manifest.parts[i].size_bytes)
      throw CheckpointError(fmt::format("checkpoint of step {}: '{}' must be a file of {} bytes; found {}",
                                        spec.step, path.string(), manifest.parts[i].size_bytes,
                                        status.size_bytes));
  }
  write_whole_file(io, attempt / kManifestName, format_manifest(manifest));
  io.sync_folder(attempt);
  clear_target(io, target, attempt);
  io.rename(attempt, target);
  io.sync_folder(root);
  return target;
}

bool abandon(Io& io, const std::filesystem::path& attempt) {
  try {
    remove_tree(io, attempt);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace switchyard::data
