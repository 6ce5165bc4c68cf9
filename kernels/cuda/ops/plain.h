// What the ops of the GPU hand to their launches: plain pointers out of views.
#pragma once

#include "kernels/cuda/device/grid_sum.h"
#include "kernels/cuda/runtime/stream.h"
#include "kernels/ops/gradient_sum.h"

namespace switchyard::kernels::cuda {

inline GridSum plain(const GradientSum& sum) {
  return {sum.sums.data<std::int64_t>(), sum.overflow.data<std::int64_t>(), sum.limit};
}

/// nullptr for an absent view.
template <typename T>
const T* plain_or_null(ConstTensorView view) {
  return view.present() ? view.data<T>() : nullptr;
}

}  // namespace switchyard::kernels::cuda
