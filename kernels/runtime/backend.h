// How an op reaches its implementation. Each op declares
//   template <Backend> struct RmsNorm { static void forward(...); static void backward(...); };
// and each back end defines the members for its own value: kernels/cpu/*.cpp is compiled once for each
// instruction-set level, kernels/cuda/*.cu once for the GPU (kernels/cuda/absent.cpp throws where it is not
// built).
#pragma once

#include <type_traits>

#include "kernels/runtime/context.h"

namespace switchyard::kernels {

enum class Backend : std::uint8_t { generic, avx2, avx512, cuda };

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
      return visitor(BackendTag<Backend::avx512>{});
  }
}

}  // namespace switchyard::kernels
