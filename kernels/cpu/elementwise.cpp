// elementwise on the CPU.
#include "kernels/ops/elementwise.h"

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 32;
constexpr std::int64_t kElementGrain = 16384;

template <typename Y, typename A, typename B>
void add_all(Context& context, Y* y, const A* a, const B* b, std::int64_t elements) {
  context.threads().run(elements, kElementGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += Vec::kWidth) {
      const std::int64_t n = end - i < Vec::kWidth ? end - i : Vec::kWidth;
      (Vec::load(a + i, n) + Vec::load(b + i, n)).store(y + i, n);
    }
  });
}

// The vector form, so that the gate rounds as everywhere else.
float sigmoid_of(float x) {
  float lanes[Vec::kWidth];
  sigmoid(Vec::broadcast(x)).store(lanes);
  return lanes[0];
}

template <typename A>
void backward_row(A* dx, float* dgate, const A* dy, const A* x, float gate, std::int64_t C) {
  const float s = sigmoid_of(gate);
  const Vec factor = Vec::broadcast(s);
  Vec dot = Vec::zero();
  for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
    const std::int64_t n = C - c < Vec::kWidth ? C - c : Vec::kWidth;
    const Vec d = Vec::load(dy + c, n);
    dot = fma(d, Vec::load(x + c, n), dot);
    (d * factor).store(dx + c, n);
  }
  *dgate = sum(dot) * s * (1.0F - s);
}

}  // namespace

template <>
void Elementwise<kBackend>::add(Context& context, TensorView y, ConstTensorView a, ConstTensorView b) {
  with_element(y.dtype(), [&](auto tag_y) {
    with_element(a.dtype(), [&](auto tag_a) {
      with_element(b.dtype(), [&](auto tag_b) {
        add_all(context, y.data<typename decltype(tag_y)::Element>(),
                a.data<typename decltype(tag_a)::Element>(), b.data<typename decltype(tag_b)::Element>(),
                y.elements());
      });
    });
  });
}

template <>
void Elementwise<kBackend>::convert(Context& context, TensorView y, ConstTensorView x) {
  with_element(y.dtype(), [&](auto tag_y) {
    with_element(x.dtype(), [&](auto tag_x) {
      auto* py = y.data<typename decltype(tag_y)::Element>();
      const auto* px = x.data<typename decltype(tag_x)::Element>();
      context.threads().run(y.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; i += Vec::kWidth) {
          const std::int64_t n = end - i < Vec::kWidth ? end - i : Vec::kWidth;
          Vec::load(px + i, n).store(py + i, n);
        }
      });
    });
  });
}

template <>
void Elementwise<kBackend>::row_gate_forward(Context& context, TensorView y, ConstTensorView x,
                                             ConstTensorView gate) {
  const std::int64_t C = x.dim(1);
  const auto* pgate = gate.data<float>();
  with_element(x.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* py = y.data<A>();
    const auto* px = x.data<A>();
    context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const Vec factor = Vec::broadcast(sigmoid_of(pgate[row]));
        for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
          const std::int64_t n = C - c < Vec::kWidth ? C - c : Vec::kWidth;
          (Vec::load(px + row * C + c, n) * factor).store(py + row * C + c, n);
        }
      }
    });
  });
}

template <>
void Elementwise<kBackend>::row_gate_backward(Context& context, TensorView dx, TensorView dgate,
                                              ConstTensorView dy, ConstTensorView x, ConstTensorView gate) {
  const std::int64_t C = x.dim(1);
  auto* pdgate = dgate.data<float>();
  const auto* pgate = gate.data<float>();
  with_element(x.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* pdx = dx.data<A>();
    const auto* pdy = dy.data<A>();
    const auto* px = x.data<A>();
    context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)
        backward_row(pdx + row * C, pdgate + row, pdy + row * C, px + row * C, pgate[row], C);
    });
  });
}

// Plain loops: comparisons round nothing, and NaN passes both.
template <>
void Elementwise<kBackend>::clip_forward(Context& context, TensorView y, ConstTensorView x, float limit) {
  with_element(x.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* py = y.data<A>();
    const auto* px = x.data<A>();
    context.threads().run(x.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float value = widened(px[i]);
        put(py + i, value > limit ? limit : value < -limit ? -limit : value);
      }
    });
  });
}

template <>
void Elementwise<kBackend>::clip_backward(Context& context, TensorView dx, ConstTensorView dy,
                                          ConstTensorView x, float limit) {
  with_element(x.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* pdx = dx.data<A>();
    const auto* pdy = dy.data<A>();
    const auto* px = x.data<A>();
    context.threads().run(x.elements(), kElementGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float value = widened(px[i]);
        put(pdx + i, value > limit || value < -limit ? 0.0F : widened(pdy[i]));
      }
    });
  });
}

}  // namespace switchyard::kernels
