// From the products and the attention of a level to the unit for bf16 that the context's level has.
#pragma once

#include "kernels/cpu/attention_bf16/attention.h"
#include "kernels/cpu/products/bf16/products.h"
#include "kernels/cpu/simd.h"

namespace switchyard::kernels {
namespace {

/// Calls visitor(BackendTag<unit>{}) and returns true, or returns false: operands of fp32, or no such unit.
template <typename Visitor>
bool on_bf16_unit(const Context& context, DType A, Visitor&& visitor) {
  if constexpr (kBackend == Backend::avx512) {
    if (A == DType::bf16 && context.isa() == Isa::amx) {
      visitor(BackendTag<Backend::amx>{});
      return true;
    }
    if (A == DType::bf16 && context.isa() == Isa::avx512_bf16) {
      visitor(BackendTag<Backend::avx512_bf16>{});
      return true;
    }
  }
  return false;
}

}  // namespace
}  // namespace switchyard::kernels
