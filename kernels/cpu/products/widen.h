// bf16 tensors for kernels that read and write fp32: whole copies in scratch memory, rounded once when they
// go back.
#pragma once

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {
namespace {

template <typename To, typename From>
void copy_elements(Context& context, To* to, const From* from, std::int64_t elements) {
  constexpr std::int64_t kGrain = 16384;
  context.threads().run(elements, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += Vec::kWidth) {
      const std::int64_t n = end - i < Vec::kWidth ? end - i : Vec::kWidth;
      Vec::load(from + i, n).store(to + i, n);
    }
  });
}

/// An input as fp32: itself, or a copy that lives as long as `scratch`.
[[maybe_unused]] inline ConstTensorView widened(Context& context, ArenaScope& scratch, ConstTensorView x) {
  if (x.dtype() == DType::f32 || !x.present()) return x;
  const TensorView wide = scratch.tensor(DType::f32, x.shape());
  copy_elements(context, wide.data<float>(), x.data<BFloat16>(), x.elements());
  return wide;
}

/// An output as fp32: itself, or a copy of what is there, which narrow() brings back.
[[maybe_unused]] inline TensorView widened_output(Context& context, ArenaScope& scratch, TensorView y) {
  if (y.dtype() == DType::f32) return y;
  const TensorView wide = scratch.tensor(DType::f32, y.shape());
  copy_elements(context, wide.data<float>(), y.data<BFloat16>(), y.elements());
  return wide;
}

[[maybe_unused]] inline void narrow(Context& context, TensorView y, ConstTensorView wide) {
  if (y.dtype() == DType::bf16) copy_elements(context, y.data<BFloat16>(), wide.data<float>(), y.elements());
}

}  // namespace
}  // namespace switchyard::kernels
