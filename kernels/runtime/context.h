// What every op gets first: the device it runs on, its threads, its scratch memory, the trace and the place.
#pragma once

#include "kernels/runtime/arena.h"
#include "kernels/runtime/broken_rule.h"
#include "kernels/runtime/isa.h"
#include "kernels/runtime/place.h"
#include "kernels/runtime/threads.h"
#include "kernels/runtime/trace.h"

namespace switchyard::kernels {

/// One per rank. Not shared between threads: two streams of work are two contexts.
class Context {
 public:
  explicit Context(int threads, Isa isa = chosen_isa(), Device device = Device::cpu)
      : threads_(threads), isa_(isa), device_(device) {}

  Device device() const { return device_; }
  Isa isa() const { return isa_; }
  Threads& threads() { return threads_; }
  /// For memory that an op needs only while it runs; take it through an ArenaScope.
  Arena& scratch() { return scratch_; }
  Trace& trace() { return trace_; }
  PlaceTracker& place() { return place_; }

  const Breakage& breakage() const { return breakage_; }
  void set_breakage(Breakage breakage) { breakage_ = breakage; }

 private:
  Threads threads_;
  Arena scratch_;
  Trace trace_;
  PlaceTracker place_;
  Breakage breakage_;
  Isa isa_;
  Device device_;
};

}  // namespace switchyard::kernels
