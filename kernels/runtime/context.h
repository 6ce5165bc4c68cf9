// What every op gets first: the device it runs on, its threads, its scratch memory, the trace and the place.
#pragma once

#include <memory>

#include "kernels/runtime/arena.h"
#include "kernels/runtime/broken_rule.h"
#include "kernels/runtime/device.h"
#include "kernels/runtime/isa.h"
#include "kernels/runtime/place.h"
#include "kernels/runtime/staging.h"
#include "kernels/runtime/threads.h"
#include "kernels/runtime/trace.h"

namespace switchyard::kernels {

/// One per rank. Not shared between threads: two streams of work are two contexts. Throws DeviceError for
/// Device::cuda where there is no device.
class Context {
 public:
  explicit Context(int threads, Isa isa = chosen_isa(), Device device = Device::cpu)
      : threads_(threads),
        queue_(device == Device::cuda ? make_device_queue() : nullptr),
        staging_(queue_.get()),
        scratch_(queue_.get()),
        isa_(isa),
        device_(device) {}

  Device device() const { return device_; }
  Isa isa() const { return isa_; }
  Threads& threads() { return threads_; }
  /// Where the device's work goes; nullptr on the CPU, where an op is done when it returns.
  DeviceQueue* queue() { return queue_.get(); }
  /// For copy (transfer.h); only with a queue.
  Staging& staging() { return staging_; }
  /// For memory that an op needs only while it runs; take it through an ArenaScope.
  Arena& scratch() { return scratch_; }
  Trace& trace() { return trace_; }
  PlaceTracker& place() { return place_; }

  const Breakage& breakage() const { return breakage_; }
  void set_breakage(Breakage breakage) { breakage_ = breakage; }

 private:
  Threads threads_;
  std::unique_ptr<DeviceQueue> queue_;
  Staging staging_;
  Arena scratch_;
  Trace trace_;
  PlaceTracker place_;
  Breakage breakage_;
  Isa isa_;
  Device device_;
};

}  // namespace switchyard::kernels
