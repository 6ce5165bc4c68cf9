#include "data/io/faulting_io.h"

namespace switchyard::data {

void FaultingIo::arm(Fault fault) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  num_matching_ = 0;
}

std::int64_t FaultingIo::num_calls() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(calls_.size());
}

bool FaultingIo::has_struck() const {
  const std::lock_guard lock(mutex_);
  return has_struck_;
}

bool FaultingIo::strikes(IoCall call) {
  const std::lock_guard lock(mutex_);
  if (is_dead_) throw SimulatedCrash();
  calls_.push_back(call);
  if (!fault_ || (fault_->call && *fault_->call != call)) return false;
  const std::int64_t index = num_matching_++;
  const bool strikes = index == fault_->index || (fault_->is_persistent && index > fault_->index);
  has_struck_ = has_struck_ || strikes;
  is_dead_ = strikes && fault_->number == 0;
  return strikes;
}

void FaultingIo::fail(IoCall call, const std::filesystem::path& path) {
  if (fault_->number == 0) throw SimulatedCrash();
  throw_io_failure(call, path, fault_->number);
}

template <typename Work>
void FaultingIo::run(IoCall call, const std::filesystem::path& path, Work work) {
  const bool is_struck = strikes(call);
  if (!is_struck || fault_->takes_effect) work();
  if (is_struck) fail(call, path);
}

OpenFile FaultingIo::create(const std::filesystem::path& path) {
  OpenFile file;
  const bool is_struck = strikes(IoCall::create);
  if (!is_struck || fault_->takes_effect) file = inner_.create(path);
  if (is_struck) {
    if (file.id >= 0) inner_.release(file);
    fail(IoCall::create, path);
  }
  return file;
}

OpenFile FaultingIo::open_read(const std::filesystem::path& path, FolderLink folder) {
  if (strikes(IoCall::open_read)) fail(IoCall::open_read, path);
  return inner_.open_read(path, folder);
}

void FaultingIo::write(const OpenFile& file, std::int64_t offset, const void* bytes, std::size_t size) {
  if (!strikes(IoCall::write)) return inner_.write(file, offset, bytes, size);
  // A write that fails half way leaves the first half behind.
  inner_.write(file, offset, bytes, fault_->takes_effect ? size : size / 2);
  fail(IoCall::write, file.path);
}

std::size_t FaultingIo::read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) {
  if (strikes(IoCall::read)) fail(IoCall::read, file.path);
  return inner_.read(file, offset, bytes, size);
}

std::int64_t FaultingIo::size_bytes(const OpenFile& file) {
  if (strikes(IoCall::stat)) fail(IoCall::stat, file.path);
  return inner_.size_bytes(file);
}

void FaultingIo::preallocate(const OpenFile& file, std::int64_t size_bytes) {
  run(IoCall::preallocate, file.path, [&] { inner_.preallocate(file, size_bytes); });
}

void FaultingIo::sync_file(const OpenFile& file) {
  run(IoCall::sync_file, file.path, [&] { inner_.sync_file(file); });
}

void FaultingIo::close(const OpenFile& file) {
  // The descriptor goes whatever close reports; File counts on that.
  const auto release = [&] { inner_.release(file); };
  bool is_struck = false;
  try {
    is_struck = strikes(IoCall::close);
  } catch (const SimulatedCrash&) {
    release();
    throw;
  }
  if (!is_struck) return inner_.close(file);
  release();
  fail(IoCall::close, file.path);
}

void FaultingIo::sync_folder(const std::filesystem::path& folder) {
  run(IoCall::sync_folder, folder, [&] { inner_.sync_folder(folder); });
}

void FaultingIo::make_folder(const std::filesystem::path& folder) {
  run(IoCall::make_folder, folder, [&] { inner_.make_folder(folder); });
}

void FaultingIo::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  run(IoCall::rename, from, [&] { inner_.rename(from, to); });
}

void FaultingIo::unlink(const std::filesystem::path& path) {
  run(IoCall::unlink, path, [&] { inner_.unlink(path); });
}

void FaultingIo::remove_folder(const std::filesystem::path& folder) {
  run(IoCall::remove_folder, folder, [&] { inner_.remove_folder(folder); });
}

std::vector<std::string> FaultingIo::list(const std::filesystem::path& folder) {
  if (strikes(IoCall::list)) fail(IoCall::list, folder);
  return inner_.list(folder);
}

EntryStatus FaultingIo::stat(const std::filesystem::path& path) {
  if (strikes(IoCall::stat)) fail(IoCall::stat, path);
  return inner_.stat(path);
}

std::int64_t FaultingIo::free_bytes(const std::filesystem::path& path) {
  if (strikes(IoCall::free_space)) fail(IoCall::free_space, path);
  return inner_.free_bytes(path);
}

OpenFile FaultingIo::lock(const std::filesystem::path& path) {
  if (strikes(IoCall::lock)) fail(IoCall::lock, path);
  return inner_.lock(path);
}

}  // namespace switchyard::data
