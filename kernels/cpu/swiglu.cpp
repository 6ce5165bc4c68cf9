// swiglu on the CPU.
#include "kernels/ops/swiglu.h"

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 8;

template <typename A>
void forward_row(A* h, const A* gate, const A* up, std::int64_t F) {
  for (std::int64_t f = 0; f < F; f += Vec::kWidth) {
    const std::int64_t n = F - f < Vec::kWidth ? F - f : Vec::kWidth;
    const Vec z = Vec::load(gate + f, n);
    (z * sigmoid(z) * Vec::load(up + f, n)).store(h + f, n);
  }
}

// dgate and dup may be the memory of gate and up: both are read before either is written.
template <typename A>
void backward_row(A* dgate, A* dup, const A* dh, const A* gate, const A* up, std::int64_t F) {
  const Vec one = Vec::broadcast(1.0F);
  for (std::int64_t f = 0; f < F; f += Vec::kWidth) {
    const std::int64_t n = F - f < Vec::kWidth ? F - f : Vec::kWidth;
    const Vec z = Vec::load(gate + f, n);
    const Vec u = Vec::load(up + f, n);
    const Vec d = Vec::load(dh + f, n);
    const Vec s = sigmoid(z);
    const Vec slope = s * fma(z, one - s, one);  // of silu
    (d * u * slope).store(dgate + f, n);
    (d * z * s).store(dup + f, n);
  }
}

}  // namespace

template <>
void Swiglu<kBackend>::forward(Context& context, TensorView h, ConstTensorView gate_up) {
  const std::int64_t F = h.dim(1);
  with_element(h.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* ph = h.data<A>();
    const auto* pgate_up = gate_up.data<A>();
    context.threads().run(h.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t m = begin; m < end; ++m)
        forward_row(ph + m * F, pgate_up + m * 2 * F, pgate_up + m * 2 * F + F, F);
    });
  });
}

template <>
void Swiglu<kBackend>::backward(Context& context, TensorView dgate_up, ConstTensorView dh,
                                ConstTensorView gate_up) {
  const std::int64_t F = dh.dim(1);
  with_element(dh.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* pdgate_up = dgate_up.data<A>();
    const auto* pdh = dh.data<A>();
    const auto* pgate_up = gate_up.data<A>();
    context.threads().run(dh.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t m = begin; m < end; ++m)
        backward_row(pdgate_up + m * 2 * F, pdgate_up + m * 2 * F + F, pdh + m * F, pgate_up + m * 2 * F,
                     pgate_up + m * 2 * F + F, F);
    });
  });
}

}  // namespace switchyard::kernels
