#include "data/io/recording_io.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "kernels/runtime/check.h"

namespace switchyard::data {

struct RecordingIo::Node {
  struct Write {
    std::size_t offset;
    std::string bytes;
  };
  /// One change of a folder's names. from empty: `node` got the name `to`. to empty: `from` lost it.
  struct NameChange {
    std::string from, to;
    NodePointer node;
  };

  EntryKind kind = EntryKind::file;
  // Files.
  std::string bytes, synced_bytes;
  std::vector<Write> unsynced_writes;
  // Folders.
  std::map<std::string, NodePointer> names, synced_names;
  std::vector<NameChange> unsynced_changes;

  void change(NameChange name_change) {
    apply(names, name_change);
    unsynced_changes.push_back(std::move(name_change));
  }
  /// False if the change cannot happen to these names (an earlier one that it rests on was lost).
  static bool apply(std::map<std::string, NodePointer>& names, const NameChange& change) {
    if (!change.from.empty()) {
      const auto found = names.find(change.from);
      if (found == names.end() || found->second != change.node) return false;
      if (!change.to.empty() && names.count(change.to) != 0 && change.node->kind == EntryKind::folder)
        return false;
      names.erase(found);
    } else if (names.count(change.to) != 0) {
      return false;
    }
    if (!change.to.empty()) names[change.to] = change.node;
    return true;
  }
};

/// Draws one state after a power loss.
class RecordingIo::Imager {
 public:
  explicit Imager(std::uint64_t seed) : random_(seed) {
    constexpr std::size_t kSectors[] = {512, 4096};
    constexpr unsigned kPercent[] = {0, 10, 50, 90, 100};
    sector_bytes_ = kSectors[draw(2)];
    data_percent_ = kPercent[draw(5)];
    name_percent_ = kPercent[draw(5)];
    is_prefix_ = draw(3) == 0;
    is_stale_ = draw(3) == 0;
  }

  NodePointer image(const NodePointer& node) {
    auto result = std::make_shared<Node>();
    result->kind = node->kind;
    if (node->kind == EntryKind::folder) {
      for (const auto& [name, child] : surviving_names(*node)) result->names[name] = image(child);
      result->synced_names = result->names;
    } else {
      result->bytes = surviving_bytes(*node);
      result->synced_bytes = result->bytes;
    }
    return result;
  }

 private:
  std::uint64_t draw(std::uint64_t limit) { return random_() % limit; }
  bool survives(unsigned percent) { return draw(100) < percent; }

  std::map<std::string, NodePointer> surviving_names(const Node& node) {
    auto names = node.synced_names;
    // A journal loses a tail of the changes; without one, any of them may be missing.
    const std::size_t limit =
        is_prefix_ ? draw(node.unsynced_changes.size() + 1) : node.unsynced_changes.size();
    for (std::size_t i = 0; i < limit; ++i)
      if (is_prefix_ || survives(name_percent_)) Node::apply(names, node.unsynced_changes[i]);
    return names;
  }

  std::string surviving_bytes(const Node& node) {
    std::string bytes = node.synced_bytes;
    const std::size_t low = std::min(bytes.size(), node.bytes.size());
    const std::size_t high = std::max(bytes.size(), node.bytes.size());
    const std::size_t sizes[] = {bytes.size(), node.bytes.size(), low + draw(high - low + 1)};
    const std::size_t old_size = bytes.size();
    bytes.resize(sizes[draw(3)], '\0');
    if (is_stale_)
      for (std::size_t i = old_size; i < bytes.size(); ++i) bytes[i] = static_cast<char>(draw(256));
    for (const auto& write : node.unsynced_writes) {
      const std::size_t end = std::min(write.offset + write.bytes.size(), bytes.size());
      for (std::size_t begin = write.offset; begin < end;) {
        const std::size_t next = std::min((begin / sector_bytes_ + 1) * sector_bytes_, end);
        if (survives(data_percent_))
          std::memcpy(bytes.data() + begin, write.bytes.data() + (begin - write.offset), next - begin);
        begin = next;
      }
    }
    return bytes;
  }

  std::mt19937_64 random_;
  std::size_t sector_bytes_;
  unsigned data_percent_, name_percent_;
  bool is_prefix_, is_stale_;
};

RecordingIo::RecordingIo(std::int64_t capacity_bytes)
    : root_(std::make_shared<Node>()), capacity_bytes_(capacity_bytes) {
  root_->kind = EntryKind::folder;
}
RecordingIo::~RecordingIo() = default;

std::unique_ptr<RecordingIo> RecordingIo::crash_image(std::uint64_t seed) const {
  const std::lock_guard lock(mutex_);
  auto result = std::make_unique<RecordingIo>(capacity_bytes_);
  result->root_ = Imager(seed).image(root_);
  return result;
}

std::unique_ptr<RecordingIo> RecordingIo::copy() const {
  const std::lock_guard lock(mutex_);
  auto result = std::make_unique<RecordingIo>(capacity_bytes_);
  const auto copy_node = [](const auto& self, const Node& node) -> NodePointer {
    auto made = std::make_shared<Node>();
    made->kind = node.kind;
    made->bytes = made->synced_bytes = node.bytes;
    for (const auto& [name, child] : node.names) made->names[name] = self(self, *child);
    made->synced_names = made->names;
    return made;
  };
  result->root_ = copy_node(copy_node, *root_);
  return result;
}

std::string& RecordingIo::contents(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const NodePointer node = find(path);
  if (!node || node->kind != EntryKind::file) throw_io_failure(IoCall::open_read, path, ENOENT);
  node->unsynced_writes.clear();
  return node->bytes;
}

RecordingIo::NodePointer RecordingIo::find(const std::filesystem::path& path) const {
  NodePointer node = root_;
  for (const auto& part : path.relative_path()) {
    if (part.empty() || part == ".") continue;
    if (node->kind != EntryKind::folder) return nullptr;
    const auto found = node->names.find(part.string());
    if (found == node->names.end()) return nullptr;
    node = found->second;
  }
  return node;
}

RecordingIo::NodePointer RecordingIo::folder(IoCall call, const std::filesystem::path& path) const {
  NodePointer node = find(path);
  if (!node) throw_io_failure(call, path, ENOENT);
  if (node->kind != EntryKind::folder) throw_io_failure(call, path, ENOTDIR);
  return node;
}

RecordingIo::Node& RecordingIo::opened(IoCall call, const OpenFile& file) const {
  const auto found = open_files_.find(file.id);
  if (found == open_files_.end()) throw_io_failure(call, file.path, EBADF);
  return *found->second;
}

OpenFile RecordingIo::open(NodePointer node, const std::filesystem::path& path) {
  open_files_[next_id_] = std::move(node);
  return {next_id_++, path};
}

OpenFile RecordingIo::create(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const NodePointer parent = folder(IoCall::create, path.parent_path());
  if (parent->names.count(path.filename().string()) != 0) throw_io_failure(IoCall::create, path, EEXIST);
  auto node = std::make_shared<Node>();
  parent->change({"", path.filename().string(), node});
  return open(node, path);
}

OpenFile RecordingIo::open_read(const std::filesystem::path& path, FolderLink) {
  const std::lock_guard lock(mutex_);
  const NodePointer node = find(path);
  if (!node) throw_io_failure(IoCall::open_read, path, ENOENT);
  if (node->kind != EntryKind::file) throw_io_failure(IoCall::open_read, path, EISDIR);
  return open(node, path);
}

std::int64_t RecordingIo::used_bytes(const Node& node) const {
  auto used = static_cast<std::int64_t>(node.bytes.size());
  for (const auto& [name, child] : node.names) used += used_bytes(*child);
  return used;
}

void RecordingIo::grow(IoCall call, const OpenFile& file, Node& node, std::size_t size) {
  if (size <= node.bytes.size()) return;
  if (used_bytes(*root_) + static_cast<std::int64_t>(size - node.bytes.size()) > capacity_bytes_)
    throw_io_failure(call, file.path, ENOSPC);
  node.bytes.resize(size, '\0');
}

void RecordingIo::write(const OpenFile& file, std::int64_t offset, const void* bytes, std::size_t size) {
  const std::lock_guard lock(mutex_);
  Node& node = opened(IoCall::write, file);
  const auto begin = static_cast<std::size_t>(offset);
  grow(IoCall::write, file, node, begin + size);
  if (size == 0) return;
  std::memcpy(node.bytes.data() + begin, bytes, size);
  node.unsynced_writes.push_back({begin, std::string(static_cast<const char*>(bytes), size)});
}

std::size_t RecordingIo::read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) {
  const std::lock_guard lock(mutex_);
  const Node& node = opened(IoCall::read, file);
  const auto begin = std::min(static_cast<std::size_t>(offset), node.bytes.size());
  const std::size_t count = std::min(size, node.bytes.size() - begin);
  if (count > 0) std::memcpy(bytes, node.bytes.data() + begin, count);
  return count;
}

std::int64_t RecordingIo::size_bytes(const OpenFile& file) {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(opened(IoCall::stat, file).bytes.size());
}

void RecordingIo::preallocate(const OpenFile& file, std::int64_t size_bytes) {
  const std::lock_guard lock(mutex_);
  grow(IoCall::preallocate, file, opened(IoCall::preallocate, file), static_cast<std::size_t>(size_bytes));
}

void RecordingIo::sync_file(const OpenFile& file) {
  const std::lock_guard lock(mutex_);
  Node& node = opened(IoCall::sync_file, file);
  node.synced_bytes = node.bytes;
  node.unsynced_writes.clear();
}

void RecordingIo::close(const OpenFile& file) {
  const std::lock_guard lock(mutex_);
  opened(IoCall::close, file);
  open_files_.erase(file.id);
}

void RecordingIo::release(const OpenFile& file) noexcept {
  const std::lock_guard lock(mutex_);
  open_files_.erase(file.id);
}

void RecordingIo::sync_folder(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const NodePointer node = folder(IoCall::sync_folder, path);
  node->synced_names = node->names;
  node->unsynced_changes.clear();
}

void RecordingIo::make_folder(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const NodePointer parent = folder(IoCall::make_folder, path.parent_path());
  if (parent->names.count(path.filename().string()) != 0) throw_io_failure(IoCall::make_folder, path, EEXIST);
  auto node = std::make_shared<Node>();
  node->kind = EntryKind::folder;
  parent->change({"", path.filename().string(), node});
}

void RecordingIo::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::lock_guard lock(mutex_);
  SWITCHYARD_CHECK(from.parent_path() == to.parent_path(),
                   "the model renames inside one folder; got {} to {}", from.string(), to.string());
  const NodePointer parent = folder(IoCall::rename, from.parent_path());
  const NodePointer node = find(from);
  const NodePointer target = find(to);
  if (!node) throw_io_failure(IoCall::rename, from, ENOENT);
  if (target && target->kind == EntryKind::folder) throw_io_failure(IoCall::rename, from, ENOTEMPTY);
  parent->change({from.filename().string(), to.filename().string(), node});
}

void RecordingIo::unlink(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const NodePointer node = find(path);
  if (!node) throw_io_failure(IoCall::unlink, path, ENOENT);
  if (node->kind != EntryKind::file) throw_io_failure(IoCall::unlink, path, EISDIR);
  folder(IoCall::unlink, path.parent_path())->change({path.filename().string(), "", node});
}

void RecordingIo::remove_folder(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const NodePointer node = folder(IoCall::remove_folder, path);
  if (!node->names.empty()) throw_io_failure(IoCall::remove_folder, path, ENOTEMPTY);
  folder(IoCall::remove_folder, path.parent_path())->change({path.filename().string(), "", node});
}

std::vector<std::string> RecordingIo::list(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& entry : folder(IoCall::list, path)->names) names.push_back(entry.first);
  return names;
}

EntryStatus RecordingIo::stat(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  const NodePointer node = find(path);
  if (!node) return {};
  return {node->kind, static_cast<std::int64_t>(node->bytes.size())};
}

std::int64_t RecordingIo::free_bytes(const std::filesystem::path&) {
  const std::lock_guard lock(mutex_);
  return capacity_bytes_ - used_bytes(*root_);
}

OpenFile RecordingIo::lock(const std::filesystem::path& path) {
  const std::lock_guard guard(mutex_);
  const NodePointer parent = folder(IoCall::lock, path.parent_path());
  NodePointer node = find(path);
  if (!node) {
    node = std::make_shared<Node>();
    parent->change({"", path.filename().string(), node});
  }
  return open(node, path);
}

}  // namespace switchyard::data
