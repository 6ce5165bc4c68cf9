// The classes of failure. Each has its own exit code, given by app/main and nowhere else.
// A message states the rule, the value found, the place, and the key or action that changes it.
#pragma once

#include <stdexcept>
#include <string>

namespace switchyard {

enum class ErrorKind { user, data, checkpoint, disk, numerics, hang, peer, device, internal };

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

/// A mistake in the command line or configuration; the user mends it there.
struct UserError : Error {
  explicit UserError(const std::string& message) : Error(ErrorKind::user, message) {}
};
/// A token shard, text or model file that is missing, damaged or of the wrong kind.
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(ErrorKind::data, message) {}
};
/// A checkpoint that cannot be used, or none that can.
struct CheckpointError : Error {
  explicit CheckpointError(const std::string& message) : Error(ErrorKind::checkpoint, message) {}
};
/// The disk is full, read-only or failing.
struct DiskError : Error {
  explicit DiskError(const std::string& message) : Error(ErrorKind::disk, message) {}
};
/// Training diverged, or a verification found different bits.
struct NumericsError : Error {
  explicit NumericsError(const std::string& message) : Error(ErrorKind::numerics, message) {}
};
/// A rank or collective made no progress within the limit.
struct HangError : Error {
  explicit HangError(const std::string& message) : Error(ErrorKind::hang, message) {}
};
/// Another rank failed or disappeared.
struct PeerError : Error {
  explicit PeerError(const std::string& message) : Error(ErrorKind::peer, message) {}
};
/// The accelerator is missing, lost or out of memory.
struct DeviceError : Error {
  explicit DeviceError(const std::string& message) : Error(ErrorKind::device, message) {}
};
/// A broken promise of our own code.
struct InternalError : Error {
  explicit InternalError(const std::string& message) : Error(ErrorKind::internal, message) {}
};

}  // namespace switchyard
