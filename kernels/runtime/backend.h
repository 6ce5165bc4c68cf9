// How an op reaches its implementation. Each op declares
//   template <Backend> struct RmsNorm { static void forward(...); static void backward(...); };
// and each back end defines the members for its own value: kernels/cpu/*.cpp is compiled once for each
// instruction-set level, kernels/cuda/*.cu once for the GPU (kernels/cuda/absent.cpp throws where it is not
// built).
#pragma once

#include <type_traits>

#include "kernels/runtime/context.h"

namespace switchyard::kernels {

/// The last two are units within avx512, which only bf16 products and attention are written for
/// (kernels/cpu/products/bf16); every other op of those levels is that of avx512.
enum class Backend : std::uint8_t { generic, avx2, avx512, cuda, avx512_bf16, amx };

template <Backend kBackend>
using BackendTag = std::integral_constant<Backend, kBackend>;

/// Calls visitor(BackendTag<B>{}) for the back end that the context has chosen.
template <typename Visitor>
void with_backend(const Context& context, Visitor&& visitor) {
  if (context.device() == Device::cuda) return visitor(BackendTag<Backend::cuda>{});
  switch (context.isa()) {
    case Isa::generic:
      return visitor(BackendTag<Backend::generic>{});
    case Isa::avx2:
      return visitor(BackendTag<Backend::avx2>{});
    case Isa::avx512:
    case Isa::avx512_bf16:
    case Isa::amx:
      return visitor(BackendTag<Backend::avx512>{});
  }
}

}  // namespace switchyard::kernels
