// rope on the CPU.
#include "kernels/ops/rope.h"

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kTokenGrain = 16;

// One head; the angle's sign tells forward (1) from backward (-1).
template <typename A>
void rotate(A* x, const float* cosine, const float* sine, std::int64_t half, float sign) {
  const Vec signs = Vec::broadcast(sign);
  for (std::int64_t i = 0; i < half; i += Vec::kWidth) {
    const std::int64_t n = half - i < Vec::kWidth ? half - i : Vec::kWidth;
    const Vec low = Vec::load(x + i, n);
    const Vec high = Vec::load(x + half + i, n);
    const Vec c = Vec::load(cosine + i, n);
    const Vec s = Vec::load(sine + i, n) * signs;
    (low * c - high * s).store(x + i, n);
    (high * c + low * s).store(x + half + i, n);
  }
}

void rotate_all(Context& context, TensorView x, ConstTensorView cosine, ConstTensorView sine,
                std::int64_t first_position, float sign) {
  const std::int64_t T = x.dim(1);
  const std::int64_t heads = x.dim(2);
  const std::int64_t D = x.dim(3);
  const auto* pcosine = cosine.data<float>();
  const auto* psine = sine.data<float>();
  with_element(x.dtype(), [&](auto tag) {
    auto* px = x.data<typename decltype(tag)::Element>();
    context.threads().run(x.dim(0) * T, kTokenGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t token = begin; token < end; ++token) {
        const std::int64_t angle = (first_position + token % T) * (D / 2);
        for (std::int64_t h = 0; h < heads; ++h)
          rotate(px + (token * heads + h) * D, pcosine + angle, psine + angle, D / 2, sign);
      }
    });
  });
}

}  // namespace

template <>
void Rope<kBackend>::forward(Context& context, TensorView x, ConstTensorView cosine, ConstTensorView sine,
                             std::int64_t first_position) {
  rotate_all(context, x, cosine, sine, first_position, 1.0F);
}

template <>
void Rope<kBackend>::backward(Context& context, TensorView dx, ConstTensorView cosine, ConstTensorView sine,
                              std::int64_t first_position) {
  rotate_all(context, dx, cosine, sine, first_position, -1.0F);
}

}  // namespace switchyard::kernels
