// The calls of NCCL that a communicator makes, as a small table: nccl.cpp makes them, tests script them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/runtime/device.h"

namespace switchyard::parallel {

/// What a call answers. `in_progress`: the call goes on by itself; state() tells when it has ended.
enum class NcclStatus : std::uint8_t { success, in_progress, remote_error, failed };

/// Names a group of ranks; made by one of them.
using NcclId = std::array<std::byte, 128>;

/// One NCCL communicator that never blocks, and the queue that its work goes into. Not thread-safe. Pointers
/// are of the device.
class NcclCalls {
 public:
  virtual ~NcclCalls() = default;
  virtual NcclStatus make_id(NcclId& id) = 0;
  virtual NcclStatus start(const NcclId& id, int rank, int size) = 0;
  /// How the last call that was in progress fares, and whether the communicator is sound.
  virtual NcclStatus state() = 0;

  // Between begin and end: one collective, sent off as a whole.
  virtual NcclStatus begin() = 0;
  virtual NcclStatus end() = 0;
  virtual NcclStatus send(const void* from, std::int64_t bytes, int peer) = 0;
  virtual NcclStatus receive(void* to, std::int64_t bytes, int peer) = 0;
  /// out (count) on `root` = the sum of `in` (count) over the ranks, 64-bit integers. May be in place.
  virtual NcclStatus reduce(const void* in, void* out, std::int64_t count, int root) = 0;
  /// out (bytes) on all ranks = `in` of `root`. May be in place.
  virtual NcclStatus broadcast(const void* in, void* out, std::int64_t bytes, int root) = 0;

  /// What follows in the queue waits for the work that the caller's queue holds now.
  virtual void follow_caller() = 0;
  /// A mark after all that was sent off; ended() says whether the device has come there. Marks count from 0.
  virtual std::int64_t mark() = 0;
  virtual bool ended(std::int64_t mark) = 0;

  /// Ends work under way, also on the device, without waiting for peers. Nothing may be called after it.
  virtual void abort() = 0;
  /// The orderly end: finish, until state() says success, then release. Nothing may be called after it.
  virtual NcclStatus finish() = 0;
  virtual void release() = 0;
  /// NCCL's words on the last failure.
  virtual std::string reason() = 0;
};

/// Over the library. `caller` is the queue whose work produces what is sent; it must outlive the calls.
/// Throws DeviceError where the program was built without NCCL.
std::unique_ptr<NcclCalls> make_nccl_calls(kernels::DeviceQueue& caller);

/// "2.27.7"; empty where the program was built without NCCL.
std::string nccl_version();

}  // namespace switchyard::parallel
