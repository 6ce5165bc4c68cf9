// What this machine can do at most, measured, for stating shares of it.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// Floating-point operations per second (a fused multiply-add counts as two) of all the context's threads
/// together at its instruction-set level, in fp32: the best of a few runs of multiply-adds that touch no
/// memory. Takes about 50 ms. Throws DeviceError where the back end is absent.
double measured_peak_flops(Context& context);

template <Backend>
struct Peak {
  /// Lets the crew claim `pieces` pieces of `rounds` rounds each; returns the operations of one round.
  static double run(Context& context, std::int64_t pieces, std::int64_t rounds);
};

}  // namespace switchyard::kernels
