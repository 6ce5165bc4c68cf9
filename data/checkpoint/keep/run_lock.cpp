#include "data/checkpoint/keep/run_lock.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <sstream>

#include "data/checkpoint/format/names.h"
#include "data/safetensors/strict_json.h"

namespace switchyard::data {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxLockBytes = 4096;
constexpr int kBeatsPerLease = 6;
constexpr int kLooksPerLease = 20;

std::string read_line(const std::string& path) {
  std::ifstream stream(path);
  std::string line;
  std::getline(stream, line);
  return line;
}

/// The parser would turn a huge number, a fraction or a truth value into some integer.
std::int64_t integer_at(const json& document, const char* key) {
  const json& value = document.at(key);
  if (!value.is_number_integer())
    throw DataError(fmt::format("{}: '{}' must be an integer; got {}", kRunLockName, key, value.type_name()));
  return value.get<std::int64_t>();
}

/// Empty if there is no such process.
std::optional<std::int64_t> start_ticks_of(std::int64_t pid) {
  const std::string line = read_line(fmt::format("/proc/{}/stat", pid));
  // The command, field 2, stands in parentheses and may hold anything, ")" included.
  const auto close = line.rfind(')');
  if (close == std::string::npos) return {};
  std::istringstream rest(line.substr(close + 1));
  std::string field;
  rest >> field;
  // Dead, but not yet fetched by its parent; where process 1 fetches nobody (some containers) it stays so for
  // good.
  if (field == "Z" || field == "X") return {};
  for (int number = 4; number < 22; ++number) rest >> field;
  std::int64_t ticks = 0;
  if (!(rest >> ticks)) return {};
  return ticks;
}

/// The lock in the folder now. No file: empty. A file that does not read as a lock is nobody's: it cannot
/// come from a live owner, because locks appear whole, by rename.
std::optional<LockOwner> read_lock(Io& io, const std::filesystem::path& root) {
  const auto path = root / kRunLockName;
  if (io.stat(path).kind == EntryKind::absent) return {};
  try {
    return LockOwner::parse(read_whole_file(io, path, FolderLink::followed, kMaxLockBytes));
  } catch (const DataError&) {
    return {};
  }
}

}  // namespace

LockOwner LockOwner::self() {
  LockOwner owner;
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  owner.host = host.data();
  owner.boot_id = read_line("/proc/sys/kernel/random/boot_id");
  owner.pid = ::getpid();
  owner.start_ticks = start_ticks_of(owner.pid).value_or(0);
  std::random_device random;
  owner.nonce = fmt::format("{:08x}{:08x}", random(), random());
  return owner;
}

std::string LockOwner::text() const {
  return json({{"host", host},
               {"boot_id", boot_id},
               {"pid", pid},
               {"start_ticks", start_ticks},
               {"nonce", nonce},
               {"beat", beat}})
             .dump() +
         "\n";
}

LockOwner LockOwner::parse(std::string_view text) {
  const json document = parse_strict_json(text, 2, kRunLockName);
  try {
    return {document.at("host").get<std::string>(),
            document.at("boot_id").get<std::string>(),
            integer_at(document, "pid"),
            integer_at(document, "start_ticks"),
            document.at("nonce").get<std::string>(),
            integer_at(document, "beat")};
  } catch (const json::exception& error) {
    throw DataError(fmt::format("{}: not a lock of ours: {}", kRunLockName, error.what()));
  }
}

bool LockOwner::is_same(const LockOwner& other) const {
  return nonce == other.nonce && pid == other.pid && host == other.host && boot_id == other.boot_id;
}

std::string LockOwner::description() const {
  return fmt::format("process {} on {}", pid, host);
}

OwnerState judge_owner(const LockOwner& owner, const LockOwner& self) {
  // Containers of one machine share its boot id and cannot see each other's processes; they differ in host
  // name. The same name with another boot id may be this machine before a restart, or a stranger called the
  // same.
  if (owner.boot_id == self.boot_id && owner.host == self.host)
    return start_ticks_of(owner.pid) == owner.start_ticks ? OwnerState::alive : OwnerState::gone;
  return OwnerState::out_of_sight;
}

RunLock::RunLock(Io& io, std::filesystem::path root, RunLockOptions options)
    : io_(io), root_(std::move(root)), options_(std::move(options)) {
  if (io_.stat(root_).kind == EntryKind::absent) io_.make_folder(root_);
  acquire();
  thread_ = std::thread([this] { run(); });
}

void RunLock::write_lock(const LockOwner& owner) {
  // By rename, so that a reader sees the old owner or the new one and never half a file.
  const auto temporary = root_ / fmt::format("{}lock-{}", kAttemptPrefix, options_.self.nonce);
  if (io_.stat(temporary).kind != EntryKind::absent) io_.unlink(temporary);
  write_whole_file(io_, temporary, owner.text());
  io_.rename(temporary, root_ / kRunLockName);
}

void RunLock::acquire() {
  const auto pause = options_.lease / kLooksPerLease;
  std::optional<LockOwner> watched;
  int looks_without_change = 0;
  for (;;) {
    {
      const File guard(io_, io_.lock(root_ / kLockGuardName));
      const auto owner = read_lock(io_, root_);
      const OwnerState state = owner ? judge_owner(*owner, options_.self) : OwnerState::gone;
      const bool is_still = watched && owner && owner->is_same(*watched) && owner->beat == watched->beat;
      looks_without_change = is_still ? looks_without_change + 1 : 0;
      if (state == OwnerState::alive || (watched && !is_still && state != OwnerState::gone))
        throw UserError(
            fmt::format("checkpoint: '{}' is in use by {}; stop that run or give this one another "
                        "folder",
                        root_.string(), owner->description()));
      if (state == OwnerState::gone || looks_without_change >= kLooksPerLease) {
        write_lock(options_.self);
        io_.sync_folder(root_);
        return;
      }
      watched = owner;
    }
    std::this_thread::sleep_for(pause);
  }
}

void RunLock::beat() {
  const File guard(io_, io_.lock(root_ / kLockGuardName));
  const auto owner = read_lock(io_, root_);
  if (!owner || !owner->is_same(options_.self)) {
    const std::lock_guard lock(mutex_);
    is_lost_ = true;
    return;
  }
  ++options_.self.beat;
  write_lock(options_.self);
}

void RunLock::run() {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, options_.lease / kBeatsPerLease, [&] { return is_ending_; }) && !is_lost_) {
    lock.unlock();
    try {
      beat();
    } catch (const std::exception&) {  // a disk that fails now may work at the next beat
    }
    lock.lock();
  }
}

bool RunLock::is_lost() const {
  const std::lock_guard lock(mutex_);
  return is_lost_;
}

RunLock::~RunLock() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  ended_.notify_all();
  thread_.join();
  try {
    const File guard(io_, io_.lock(root_ / kLockGuardName));
    const auto owner = read_lock(io_, root_);
    if (owner && owner->is_same(options_.self)) io_.unlink(root_ / kRunLockName);
  } catch (const std::exception&) {  // a lock that stays behind names a dead process and blocks nobody
  }
}

}  // namespace switchyard::data
