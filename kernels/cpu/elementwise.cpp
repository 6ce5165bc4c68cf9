// elementwise on the CPU: fp32.
#include "kernels/ops/elementwise.h"

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 32;

// The vector form, so that the gate rounds as everywhere else.
float sigmoid_of(float x) {
  float lanes[Vec::kWidth];
  sigmoid(Vec::broadcast(x)).store(lanes);
  return lanes[0];
}

void backward_row(float* dx, float* dgate, const float* dy, const float* x, float gate, std::int64_t C) {
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
  const std::int64_t C = y.dim(1);
  auto* py = y.data<float>();
  const auto* pa = a.data<float>();
  const auto* pb = b.data<float>();
  context.threads().run(y.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * C; i < end * C; i += Vec::kWidth) {
      const std::int64_t n = end * C - i < Vec::kWidth ? end * C - i : Vec::kWidth;
      (Vec::load(pa + i, n) + Vec::load(pb + i, n)).store(py + i, n);
    }
  });
}

template <>
void Elementwise<kBackend>::row_gate_forward(Context& context, TensorView y, ConstTensorView x,
                                             ConstTensorView gate) {
  const std::int64_t C = x.dim(1);
  auto* py = y.data<float>();
  const auto* px = x.data<float>();
  const auto* pgate = gate.data<float>();
  context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const Vec factor = Vec::broadcast(sigmoid_of(pgate[row]));
      for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
        const std::int64_t n = C - c < Vec::kWidth ? C - c : Vec::kWidth;
        (Vec::load(px + row * C + c, n) * factor).store(py + row * C + c, n);
      }
    }
  });
}

template <>
void Elementwise<kBackend>::row_gate_backward(Context& context, TensorView dx, TensorView dgate,
                                              ConstTensorView dy, ConstTensorView x, ConstTensorView gate) {
  const std::int64_t C = x.dim(1);
  auto* pdx = dx.data<float>();
  auto* pdgate = dgate.data<float>();
  const auto* pdy = dy.data<float>();
  const auto* px = x.data<float>();
  const auto* pgate = gate.data<float>();
  context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      backward_row(pdx + row * C, pdgate + row, pdy + row * C, px + row * C, pgate[row], C);
  });
}

// Plain loops: comparisons round nothing, and NaN passes both.
template <>
void Elementwise<kBackend>::clip_forward(Context& context, TensorView y, ConstTensorView x, float limit) {
  const std::int64_t C = x.dim(1);
  auto* py = y.data<float>();
  const auto* px = x.data<float>();
  context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * C; i < end * C; ++i)
      py[i] = px[i] > limit ? limit : px[i] < -limit ? -limit : px[i];
  });
}

template <>
void Elementwise<kBackend>::clip_backward(Context& context, TensorView dx, ConstTensorView dy,
                                          ConstTensorView x, float limit) {
  const std::int64_t C = x.dim(1);
  auto* pdx = dx.data<float>();
  const auto* pdy = dy.data<float>();
  const auto* px = x.data<float>();
  context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * C; i < end * C; ++i)
      pdx[i] = px[i] > limit || px[i] < -limit ? 0.0F : pdy[i];
  });
}

}  // namespace switchyard::kernels
