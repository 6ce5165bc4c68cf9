// cross_entropy on the CPU.
#include "kernels/ops/cross_entropy.h"

#include "kernels/cpu/simd.h"
#include "kernels/cpu/softmax.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 4;

float log_sum_exp(const float* x, std::int64_t V) {
  const float largest = row_max(x, V);
  const Vec shift = Vec::broadcast(largest);
  Vec total = Vec::zero();
  std::int64_t v = 0;
  for (; v + Vec::kWidth <= V; v += Vec::kWidth) total = total + exp(Vec::load(x + v) - shift);
  if (v < V) {
    // Lanes behind the row must add nothing, also when the row holds nothing but -inf.
    const std::int64_t n = V - v;
    float lanes[Vec::kWidth];
    exp(Vec::load(x + v, n) - shift).store(lanes);
    total = total + Vec::load(lanes, n);
  }
  return log_sum(largest, sum(total));
}

template <typename D>
void backward_row(D* dlogits, const float* logits, std::int32_t target, float lse, float scale,
                  std::int64_t V) {
  const Vec shift = Vec::broadcast(lse);
  const Vec factor = Vec::broadcast(scale);
  const Vec at_target = exp(Vec::broadcast(logits[target]) - shift);
  for (std::int64_t v = 0; v < V; v += Vec::kWidth) {
    const std::int64_t n = V - v < Vec::kWidth ? V - v : Vec::kWidth;
    (factor * exp(Vec::load(logits + v, n) - shift)).store(dlogits + v, n);
  }
  (factor * (at_target - Vec::broadcast(1.0F))).store(dlogits + target, 1);
}

}  // namespace

template <>
void CrossEntropy<kBackend>::forward(Context& context, TensorView loss, TensorView lse,
                                     ConstTensorView logits, ConstTensorView targets) {
  const std::int64_t V = logits.dim(1);
  auto* ploss = loss.data<float>();
  auto* plse = lse.data<float>();
  const auto* plogits = logits.data<float>();
  const auto* ptargets = targets.data<std::int32_t>();
  context.threads().run(logits.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      plse[n] = log_sum_exp(plogits + n * V, V);
      ploss[n] = ptargets[n] < 0 ? 0.0F : plse[n] - plogits[n * V + ptargets[n]];
    }
  });
}

template <>
void CrossEntropy<kBackend>::backward(Context& context, TensorView dlogits, ConstTensorView logits,
                                      ConstTensorView targets, ConstTensorView lse, float scale) {
  const std::int64_t V = logits.dim(1);
  const auto* plogits = logits.data<float>();
  const auto* ptargets = targets.data<std::int32_t>();
  const auto* plse = lse.data<float>();
  with_element(dlogits.dtype(), [&](auto tag) {
    using D = typename decltype(tag)::Element;
    auto* pdlogits = dlogits.data<D>();
    context.threads().run(logits.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n) {
        if (ptargets[n] < 0) {
          for (std::int64_t v = 0; v < V; v += Vec::kWidth)
            Vec::zero().store(pdlogits + n * V + v, V - v < Vec::kWidth ? V - v : Vec::kWidth);
        } else {
          backward_row(pdlogits + n * V, plogits + n * V, ptargets[n], plse[n], scale, V);
        }
      }
    });
  });
}

}  // namespace switchyard::kernels
