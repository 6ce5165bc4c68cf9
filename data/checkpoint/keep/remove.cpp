#include "data/checkpoint/keep/remove.h"

#include <fmt/format.h>

#include "data/checkpoint/format/names.h"

namespace switchyard::data {
namespace {

/// Attempts hold files only; a few levels are allowed for what others may have put there.
constexpr int kMaxDepth = 16;

void remove_levels(Io& io, const std::filesystem::path& folder, int levels) {
  if (levels == 0)
    throw CheckpointError(fmt::format("checkpoint: '{}' is nested too deep to be deleted", folder.string()));
  for (const auto& name : io.list(folder)) {
    const auto path = folder / name;
    if (io.stat(path).kind == EntryKind::folder)
      remove_levels(io, path, levels - 1);
    else
      io.unlink(path);
  }
  io.remove_folder(folder);
}

}  // namespace

void remove_tree(Io& io, const std::filesystem::path& folder) {
  const EntryKind kind = io.stat(folder).kind;
  if (kind == EntryKind::folder)
    remove_levels(io, folder, kMaxDepth);
  else if (kind != EntryKind::absent)
    io.unlink(folder);
}

void withdraw(Io& io, const std::filesystem::path& checkpoint, std::string_view tag) {
  const auto root = checkpoint.parent_path();
  std::filesystem::path trash;
  int attempt = 0;
  do {
    trash = root / fmt::format("{}{}-{}-{}", kTrashPrefix, checkpoint.filename().string(),
                               name_component(tag), attempt++);
  } while (io.stat(trash).kind != EntryKind::absent);
  io.rename(checkpoint, trash);
  io.sync_folder(root);
  try {
    remove_tree(io, trash);
  } catch (const Error&) {  // withdrawn already; the rest is only space
  }
}

}  // namespace switchyard::data
