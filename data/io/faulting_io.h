// An Io that fails on demand: for tests that walk over every call of an operation, and for fault drills.
#pragma once

#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <vector>

#include "data/io/io.h"

namespace switchyard::data {

/// The process died here. Deliberately not an Error: no code may handle it and tidy up.
struct SimulatedCrash : std::exception {
  const char* what() const noexcept override { return "simulated crash"; }
};

struct Fault {
  /// Count only calls of this kind; all kinds when empty.
  std::optional<IoCall> call;
  /// The call that fails: 0 is the first.
  std::int64_t index = 0;
  /// errno to fail with; 0 is a SimulatedCrash.
  int number = 0;
  /// Every later call of the kind fails as well. A crash is always for good.
  bool is_persistent = false;
  /// The call does its work and then reports failure, as network file systems may.
  bool takes_effect = false;
};

/// Passes calls on to another Io, which must outlive it. After a SimulatedCrash every call throws it again.
class FaultingIo : public Io {
 public:
  explicit FaultingIo(Io& inner) : inner_(inner) {}
  FaultingIo(Io& inner, Fault fault) : inner_(inner), fault_(fault) {}

  /// From here on, counted anew. No call may be under way.
  void arm(Fault fault);
  /// Calls so far, of all kinds, failed ones included.
  std::int64_t num_calls() const;
  /// Has the fault struck?
  bool has_struck() const;
  const std::vector<IoCall>& calls() const { return calls_; }

  OpenFile create(const std::filesystem::path& path) override;
  OpenFile open_read(const std::filesystem::path& path, FolderLink folder) override;
  void write(const OpenFile& file, std::int64_t offset, const void* bytes, std::size_t size) override;
  std::size_t read(const OpenFile& file, std::int64_t offset, void* bytes, std::size_t size) override;
  std::int64_t size_bytes(const OpenFile& file) override;
  void preallocate(const OpenFile& file, std::int64_t size_bytes) override;
  void sync_file(const OpenFile& file) override;
  void close(const OpenFile& file) override;
  void release(const OpenFile& file) noexcept override { inner_.release(file); }
  void sync_folder(const std::filesystem::path& folder) override;
  void make_folder(const std::filesystem::path& folder) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void unlink(const std::filesystem::path& path) override;
  void remove_folder(const std::filesystem::path& folder) override;
  std::vector<std::string> list(const std::filesystem::path& folder) override;
  EntryStatus stat(const std::filesystem::path& path) override;
  std::int64_t free_bytes(const std::filesystem::path& path) override;
  OpenFile lock(const std::filesystem::path& path) override;

 private:
  /// Counts the call. True: it must fail.
  bool strikes(IoCall call);
  [[noreturn]] void fail(IoCall call, const std::filesystem::path& path);
  template <typename Work>
  void run(IoCall call, const std::filesystem::path& path, Work work);

  Io& inner_;
  std::optional<Fault> fault_;
  mutable std::mutex mutex_;
  std::vector<IoCall> calls_;
  std::int64_t num_matching_ = 0;
  bool has_struck_ = false;
  bool is_dead_ = false;
};

}  // namespace switchyard::data
