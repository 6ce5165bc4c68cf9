// What this machine can do at most, measured, for stating shares of it.
#pragma once

#include "kernels/runtime/backend.h"

namespace switchyard::kernels {

/// Floating-point operations per second (a fused multiply-add counts as two) of all the context's threads
/// together at its instruction-set level: the best of a few runs that touch no memory, of multiply-adds for f32
/// and of what products use for bf16 (tiles, vdpbf16ps, or fp32 multiply-adds below those levels). Takes about
/// 50 ms. Throws DeviceError where the back end is absent.
double measured_peak_flops(Context& context, DType dtype = DType::f32);

template <Backend>
struct Peak {
  /// Lets the crew claim `pieces` pieces of `rounds` rounds each; returns the operations of one round.
  static double run(Context& context, std::int64_t pieces, std::int64_t rounds);
};

}  // namespace switchyard::kernels
