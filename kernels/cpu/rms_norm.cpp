// rms_norm on the CPU.
#include "kernels/ops/rms_norm.h"

#include "kernels/cpu/grid.h"
#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 16;
constexpr std::int64_t kColumnGrain = 64;

template <typename A>
void forward_row(A* y, float* rstd, const A* x, const float* weight, std::int64_t C, float epsilon) {
  Vec squares = Vec::zero();
  for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
    const Vec v = Vec::load(x + c, C - c < Vec::kWidth ? C - c : Vec::kWidth);
    squares = fma(v, v, squares);
  }
  *rstd = 1.0F / __builtin_sqrtf(sum(squares) / static_cast<float>(C) + epsilon);
  const Vec scale = Vec::broadcast(*rstd);
  for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
    const std::int64_t n = C - c < Vec::kWidth ? C - c : Vec::kWidth;
    (Vec::load(x + c, n) * scale * Vec::load(weight + c, n)).store(y + c, n);
  }
}

template <typename A>
void backward_row(A* dx, const A* dy, const A* x, const float* weight, float rstd, const A* dresidual,
                  std::int64_t C) {
  const Vec scale = Vec::broadcast(rstd);
  Vec dots = Vec::zero();
  for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
    const std::int64_t n = C - c < Vec::kWidth ? C - c : Vec::kWidth;
    dots = fma(Vec::load(dy + c, n) * Vec::load(weight + c, n), Vec::load(x + c, n) * scale, dots);
  }
  const Vec mean = Vec::broadcast(sum(dots) / static_cast<float>(C));
  for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
    const std::int64_t n = C - c < Vec::kWidth ? C - c : Vec::kWidth;
    Vec d = scale * (Vec::load(dy + c, n) * Vec::load(weight + c, n) - Vec::load(x + c, n) * scale * mean);
    if (dresidual != nullptr) d = d + Vec::load(dresidual + c, n);
    d.store(dx + c, n);
  }
}

// Columns [c0, c1) of the weight gradient, block of rows by block of rows.
template <typename A>
std::int64_t weight_columns(std::int64_t* sums, std::int64_t limit, const A* dy, const A* x,
                            const float* rstd, std::int64_t N, std::int64_t C, std::int64_t c0,
                            std::int64_t c1) {
  std::int64_t refused = 0;
  for (std::int64_t begin = 0; begin < N; begin += kGradientBlockRows) {
    const std::int64_t end = begin + kGradientBlockRows < N ? begin + kGradientBlockRows : N;
    for (std::int64_t c = c0; c < c1; c += Vec::kWidth) {
      const std::int64_t n = c1 - c < Vec::kWidth ? c1 - c : Vec::kWidth;
      Vec total = Vec::zero();
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t at = row * C + c;
        total = fma(Vec::load(dy + at, n), Vec::load(x + at, n) * Vec::broadcast(rstd[row]), total);
      }
      float values[Vec::kWidth];
      total.store(values);
      refused += add_to_grid(sums + c, values, n, limit);
    }
  }
  return refused;
}

}  // namespace

template <>
void RmsNorm<kBackend>::forward(Context& context, TensorView y, TensorView rstd, ConstTensorView x,
                                ConstTensorView weight, float epsilon) {
  const std::int64_t C = x.dim(1);
  auto* prstd = rstd.data<float>();
  const auto* pweight = weight.data<float>();
  with_element(x.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* py = y.data<A>();
    const auto* px = x.data<A>();
    context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n)
        forward_row(py + n * C, prstd + n, px + n * C, pweight, C, epsilon);
    });
  });
}

template <>
void RmsNorm<kBackend>::backward(Context& context, TensorView dx, const GradientSum& dweight,
                                 ConstTensorView dy, ConstTensorView x, ConstTensorView weight,
                                 ConstTensorView rstd, ConstTensorView dresidual) {
  const std::int64_t N = x.dim(0);
  const std::int64_t C = x.dim(1);
  const auto* pweight = weight.data<float>();
  const auto* prstd = rstd.data<float>();
  auto* sums = dweight.sums.data<std::int64_t>();
  auto* overflow = dweight.overflow.data<std::int64_t>();
  with_element(x.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* pdx = dx.data<A>();
    const auto* pdy = dy.data<A>();
    const auto* px = x.data<A>();
    const A* presidual = dresidual.present() ? dresidual.data<A>() : nullptr;
    // The weight first: it reads dy, whose memory dx may be.
    context.threads().run(C, kColumnGrain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t refused = weight_columns(sums, dweight.limit, pdy, px, prstd, N, C, begin, end);
      if (refused > 0) __atomic_fetch_add(overflow, refused, __ATOMIC_RELAXED);
    });
    context.threads().run(N, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n)
        backward_row(pdx + n * C, pdy + n * C, px + n * C, pweight, prstd[n],
                     presidual == nullptr ? nullptr : presidual + n * C, C);
    });
  });
}

}  // namespace switchyard::kernels
