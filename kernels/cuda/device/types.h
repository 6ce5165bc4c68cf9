// From a dtype known at run time to a type known to the compiler.
#pragma once

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

template <typename T>
struct TypeTag {
  using Type = T;
};

/// visitor(TypeTag<float>{}) or visitor(TypeTag<BFloat16>{}); the op has checked that it is one of the two.
template <typename Visitor>
void with_float_type(DType dtype, Visitor&& visitor) {
  if (dtype == DType::bf16) return visitor(TypeTag<BFloat16>{});
  visitor(TypeTag<float>{});
}

}  // namespace switchyard::kernels::cuda
