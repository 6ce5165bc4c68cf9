// Products of bf16 operands on the units made for them. Chosen by the context's level among the products of
// kernels/cpu/products; one definition for vdpbf16ps (Backend::avx512_bf16) and one for AMX tiles
// (Backend::amx).
//
// Order of a sum over the depth, fixed by the depth alone; all sums in fp32, denormals taken and left as 0,
// as both instructions do:
// - avx512_bf16: one chain of fused multiply-adds in which of each two neighbours (2j, 2j + 1) the later
// comes
//   first.
// - amx: for each 32 elements the even ones form a chain from 0, the odd ones another; their sum is added to
//   the total.
// What lies behind an odd or short depth is zero. A bias is added to the total, then what Write::add finds;
// the result is rounded once to the dtype of the output.
#pragma once

#include "kernels/ops/linear.h"

namespace switchyard::kernels {

/// Shapes as in ops/linear.h; all operands bf16 but y (bf16 or f32), bias (f32) and segments, the table of
/// ops/grouped_linear.h (absent: all rows are one segment of weight 0).
template <Backend>
struct PairProducts {
  static void forward(Context& context, TensorView y, ConstTensorView x, ConstTensorView weight,
                      ConstTensorView bias, ConstTensorView segments);
  static void backward_data(Context& context, TensorView dx, ConstTensorView dy, ConstTensorView weight,
                            Write write, ConstTensorView segments);
  static void backward_weight(Context& context, const GradientSum& dweight, ConstTensorView dy,
                              ConstTensorView x, ConstTensorView segments);
};

}  // namespace switchyard::kernels
