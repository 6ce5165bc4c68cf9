// What passes between the ranks of one group. Bytes and 64-bit integers only: nothing here adds
// floating-point numbers, since such a sum would depend on the layout.
//
// Every collective is entered by all ranks of the group, in the same order. Each has a name and a sequence
// number (counted for each communicator) that appear in every error and are told to the observer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/runtime/tensor.h"

namespace switchyard::parallel {

enum class Collective : std::uint8_t {
  barrier,
  broadcast,
  all_gather,
  all_gather_v,
  all_reduce,
  reduce_scatter,
  all_to_all_v,
  split
};
inline constexpr int kCollectives = 8;

std::string_view collective_name(Collective collective);

/// What this rank has sent through one kind of collective.
struct Traffic {
  std::int64_t calls = 0;
  /// Payload that leaves this rank when each rank sends its share straight to each rank that needs it; what a
  /// rank keeps for itself is not counted. README.md has the formulas.
  std::int64_t bytes = 0;
  bool operator==(const Traffic&) const = default;
};

/// One entry of this rank into a collective.
struct Call {
  Collective kind = Collective::barrier;
  std::int64_t sequence = 0;
  /// What all ranks must agree on beside kind and sequence: the root, the sizes, the operation.
  std::uint64_t signature = 0;
  std::int64_t bytes = 0;       ///< this rank's payload, for messages
  Device memory = Device::cpu;  ///< where the buffers lie

  /// "all_gather #12 (64 bytes)"
  std::string text() const;
};

/// Told of each collective of a communicator and of those split from it. Called on the rank's own thread.
class CollectiveObserver {
 public:
  virtual ~CollectiveObserver() = default;
  virtual void entered(std::string_view communicator, const Call& call) = 0;
  virtual void left(std::string_view communicator, const Call& call) = 0;
  /// A collective that goes on beside the rank's work, between entered and left: control came back from its
  /// start.
  virtual void started(std::string_view /*communicator*/, const Call& /*call*/) {}
  /// From here the rank waits for it to end.
  virtual void waits(std::string_view /*communicator*/, const Call& /*call*/) {}
};

/// A collective that was started and not yet waited for. The buffers given to it must stay untouched and
/// alive until wait() has returned. All ranks must wait for their handles in the order in which they started
/// them. A handle that is destroyed without wait() fails the group: peers get PeerError.
class Pending {
 public:
  virtual ~Pending() = default;
  /// Returns when the result is complete. Throws PeerError. A second call does nothing.
  virtual void wait() = 0;
  /// Lets messages move without blocking; for calls between pieces of work that overlap the exchange. True
  /// when wait() would return at once.
  virtual bool poll() = 0;
};

enum class Reduction : std::uint8_t { sum, max, min };

/// Sizes of an exchange, in bytes, one entry for each rank of the group. Displacements count from the start
/// of the buffer; pieces may lie in any order and must not overlap on the receiving side.
struct ExchangeSizes {
  std::span<const std::int64_t> send_bytes;
  std::span<const std::int64_t> send_offsets;
  std::span<const std::int64_t> receive_bytes;
  std::span<const std::int64_t> receive_offsets;
};

/// A group of ranks. Not thread-safe: one thread of a rank uses it at a time. All methods but the small ones
/// that only tell are collective and throw PeerError when a peer failed, left, or entered another collective.
///
/// `memory` says where the buffers of a collective lie, alike on all ranks. Device memory is for groups that
/// reach it (device/): its contents are those that the work given to the device so far leaves behind, and
/// work given afterwards finds the result.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const { return name_; }
  const Traffic& traffic(Collective kind) const { return traffic_[static_cast<std::size_t>(kind)]; }
  std::int64_t next_sequence() const { return sequence_; }
  /// Whether buffers may lie in the memory of the ranks' devices.
  virtual bool reaches_device_memory() const { return false; }
  /// The observer must outlive the communicator and those split from it; nullptr takes it away.
  void set_observer(CollectiveObserver* observer) { observer_ = observer; }
  CollectiveObserver* observer() const { return observer_; }

  void barrier();
  /// Overwrites `data` on every rank with that of `root`. Equal sizes everywhere.
  void broadcast(std::span<std::byte> data, int root);
  /// `all` (size * mine.size() bytes) = the pieces of all ranks in rank order. Equal sizes everywhere.
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all);
  /// As all_gather, with piece_bytes[rank] bytes from each rank, the pieces one after the other. piece_bytes
  /// (size) is the same on all ranks. `mine` may be this rank's own piece of `all` (no copy is made then).
  void all_gather_v(std::span<const std::byte> mine, std::span<std::byte> all,
                    std::span<const std::int64_t> piece_bytes, Device memory = Device::cpu);

  /// values[i] = the sum over the ranks, on every rank. Exact: throws NumericsError on all ranks alike if a
  /// sum does not fit 64 bits. For few values: every rank gets them all.
  void all_reduce_sum(std::span<std::int64_t> values);
  void all_reduce_max(std::span<std::int64_t> values);
  void all_reduce_min(std::span<std::int64_t> values);
  /// True on every rank if `value` is true on any.
  bool all_reduce_or(bool value);

  /// out (counts[rank]) = the sum over the ranks of this rank's piece of `in` (sum of counts); the pieces lie
  /// one after the other in rank order and `counts` (size) is the same on all ranks. The caller vouches that
  /// no sum leaves 64 bits (gradient_limit does). `out` may be this rank's own piece of `in`; the rest of
  /// `in` is kept.
  void reduce_scatter(std::span<const std::int64_t> in, std::span<std::int64_t> out,
                      std::span<const std::int64_t> counts, Device memory = Device::cpu);
  std::unique_ptr<Pending> start_reduce_scatter(std::span<const std::int64_t> in, std::span<std::int64_t> out,
                                                std::span<const std::int64_t> counts,
                                                Device memory = Device::cpu);

  /// Sends piece p of `send` to rank p and receives piece p of `receive` from it. Rank a's send_bytes[b] must
  /// equal rank b's receive_bytes[a]. Any size, also beyond 2 GiB.
  void all_to_all_v(std::span<const std::byte> send, std::span<std::byte> receive, const ExchangeSizes& sizes,
                    Device memory = Device::cpu);
  std::unique_ptr<Pending> start_all_to_all_v(std::span<const std::byte> send, std::span<std::byte> receive,
                                              const ExchangeSizes& sizes, Device memory = Device::cpu);

  /// A new group of the ranks that gave the same `color` (>= 0), ordered by (key, rank here). The observer is
  /// handed on; traffic is counted anew.
  std::unique_ptr<Communicator> split(int color, int key, std::string name);

 protected:
  Communicator(int rank, int size, std::string name) : rank_(rank), size_(size), name_(std::move(name)) {}

  /// Returns when this rank's device has made what it will send: called before the rank counts as waiting for
  /// others, so that a device that is slow or hangs is not taken for a slow peer.
  virtual void wait_for_own_device() {}

  // The implementations. Sizes are checked, traffic is counted and the observer is told before they run.
  virtual void do_barrier(const Call& call) = 0;
  virtual void do_broadcast(const Call& call, std::span<std::byte> data, int root) = 0;
  virtual void do_all_gather(const Call& call, std::span<const std::byte> mine, std::span<std::byte> all,
                             std::span<const std::int64_t> piece_bytes) = 0;
  virtual void do_all_reduce(const Call& call, std::span<std::int64_t> values, Reduction reduction) = 0;
  virtual std::unique_ptr<Pending> do_reduce_scatter(const Call& call, std::span<const std::int64_t> in,
                                                     std::span<std::int64_t> out,
                                                     std::span<const std::int64_t> counts) = 0;
  virtual std::unique_ptr<Pending> do_all_to_all_v(const Call& call, std::span<const std::byte> send,
                                                   std::span<std::byte> receive,
                                                   const ExchangeSizes& sizes) = 0;
  virtual std::unique_ptr<Communicator> do_split(const Call& call, int color, int key, std::string name) = 0;

 private:
  Call enter(Collective kind, std::uint64_t signature, std::int64_t payload, std::int64_t sent,
             Device memory = Device::cpu);
  void leave(const Call& call);
  void reduce(std::span<std::int64_t> values, Reduction reduction);
  void gather(Collective kind, std::span<const std::byte> mine, std::span<std::byte> all,
              std::span<const std::int64_t> piece_bytes, Device memory);

  int rank_;
  int size_;
  std::string name_;
  std::int64_t sequence_ = 0;
  std::array<Traffic, kCollectives> traffic_;
  CollectiveObserver* observer_ = nullptr;
};

/// The memory of contiguous plain values as bytes.
template <typename T>
requires std::is_trivially_copyable_v<T> std::span<std::byte> bytes_of(std::span<T> values) {
  return std::as_writable_bytes(values);
}
template <typename T>
requires std::is_trivially_copyable_v<T> std::span<const std::byte> bytes_of(std::span<const T> values) {
  return std::as_bytes(values);
}

/// Throws PeerError naming both sides unless `theirs` may run together with `mine`.
void check_same_call(const std::string& communicator, int rank, const Call& mine, int peer,
                     const Call& theirs);

}  // namespace switchyard::parallel
