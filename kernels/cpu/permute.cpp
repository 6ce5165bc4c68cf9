// permute on the CPU.
#include "kernels/ops/permute.h"

#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 16;

std::int64_t tail(std::int64_t C, std::int64_t c) {
  return C - c < Vec::kWidth ? C - c : Vec::kWidth;
}

// y = base + sum over k in order of weight * row; an absent weight is 1, an absent base 0.
template <typename A>
void sum_slots(A* y, const A* base, const A* rows, const float* weight, const std::int32_t* row_of_slot,
               std::int64_t K, std::int64_t C) {
  for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
    const std::int64_t n = tail(C, c);
    Vec total = base == nullptr ? Vec::zero() : Vec::load(base + c, n);
    for (std::int64_t k = 0; k < K; ++k) {
      if (row_of_slot[k] < 0) continue;
      const Vec row = Vec::load(rows + row_of_slot[k] * C + c, n);
      total = weight == nullptr ? total + row : fma(Vec::broadcast(weight[k]), row, total);
    }
    total.store(y + c, n);
  }
}

// One slot; drow may be the memory of row, of which each part is read before it is written.
template <typename A>
float scale_and_dot(A* drow, const A* row, const A* dy, float weight, std::int64_t C) {
  const Vec factor = Vec::broadcast(weight);
  Vec dot = Vec::zero();
  for (std::int64_t c = 0; c < C; c += Vec::kWidth) {
    const std::int64_t n = tail(C, c);
    const Vec d = Vec::load(dy + c, n);
    dot = fma(Vec::load(row + c, n), d, dot);
    (factor * d).store(drow + c, n);
  }
  return sum(dot);
}

}  // namespace

template <>
void Permute<kBackend>::sort_slots(Context& context, TensorView count, TensorView row_of_slot,
                                   TensorView slot_of_row, ConstTensorView expert) {
  const std::int64_t slots = expert.elements();
  const std::int64_t E = count.dim(0);
  auto* pcount = count.data<std::int32_t>();
  auto* prow = row_of_slot.data<std::int32_t>();
  auto* pslot = slot_of_row.data<std::int32_t>();
  const auto* pexpert = expert.data<std::int32_t>();
  ArenaScope scope(context.scratch());
  auto* next = scope.tensor(DType::i32, {E}).data<std::int32_t>();  // first free row of each expert
  for (std::int64_t e = 0; e < E; ++e) pcount[e] = 0;
  for (std::int64_t slot = 0; slot < slots; ++slot)
    if (pexpert[slot] >= 0) ++pcount[pexpert[slot]];
  std::int32_t total = 0;
  for (std::int64_t e = 0; e < E; ++e) {
    next[e] = total;
    total += pcount[e];
  }
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    prow[slot] = pexpert[slot] < 0 ? -1 : next[pexpert[slot]]++;
    if (prow[slot] >= 0) pslot[prow[slot]] = static_cast<std::int32_t>(slot);
  }
  for (std::int64_t row = total; row < slots; ++row) pslot[row] = -1;
}

template <>
void Permute<kBackend>::gather_forward(Context& context, TensorView rows, ConstTensorView x,
                                       ConstTensorView slot_of_row, std::int64_t K) {
  const std::int64_t row_bytes = x.dim(1) * static_cast<std::int64_t>(dtype_size(x.dtype()));
  auto* prows = static_cast<unsigned char*>(rows.raw());
  const auto* px = static_cast<const unsigned char*>(x.raw());
  const auto* pslot = slot_of_row.data<std::int32_t>();
  context.threads().run(rows.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      std::memcpy(prows + row * row_bytes, px + pslot[row] / K * row_bytes,
                  static_cast<std::size_t>(row_bytes));
  });
}

template <>
void Permute<kBackend>::gather_backward(Context& context, TensorView dx, ConstTensorView drows,
                                        ConstTensorView row_of_slot) {
  const std::int64_t C = dx.dim(1);
  const std::int64_t K = row_of_slot.dim(1);
  const auto* prow = row_of_slot.data<std::int32_t>();
  with_element(dx.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* pdx = dx.data<A>();
    const A* pdrows = drows.data<A>();
    context.threads().run(dx.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n)
        sum_slots<A>(pdx + n * C, nullptr, pdrows, nullptr, prow + n * K, K, C);
    });
  });
}

template <>
void Permute<kBackend>::combine_forward(Context& context, TensorView y, ConstTensorView rows,
                                        ConstTensorView weight, ConstTensorView row_of_slot,
                                        ConstTensorView base) {
  const std::int64_t C = y.dim(1);
  const std::int64_t K = row_of_slot.dim(1);
  const auto* pweight = weight.data<float>();
  const auto* prow = row_of_slot.data<std::int32_t>();
  with_element(y.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* py = y.data<A>();
    const A* prows = rows.data<A>();
    const A* pbase = base.present() ? base.data<A>() : nullptr;
    context.threads().run(y.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n)
        sum_slots<A>(py + n * C, pbase == nullptr ? nullptr : pbase + n * C, prows, pweight + n * K,
                     prow + n * K, K, C);
    });
  });
}

template <>
void Permute<kBackend>::combine_backward(Context& context, TensorView drows, TensorView dweight,
                                         ConstTensorView dy, ConstTensorView rows, ConstTensorView weight,
                                         ConstTensorView row_of_slot) {
  const std::int64_t C = dy.dim(1);
  const std::int64_t K = row_of_slot.dim(1);
  auto* pdweight = dweight.data<float>();
  const auto* pweight = weight.data<float>();
  const auto* prow = row_of_slot.data<std::int32_t>();
  with_element(dy.dtype(), [&](auto tag) {
    using A = typename decltype(tag)::Element;
    auto* pdrows = drows.data<A>();
    const A* pdy = dy.data<A>();
    const A* prows = rows.data<A>();
    context.threads().run(dy.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n)
        for (std::int64_t slot = n * K; slot < (n + 1) * K; ++slot)
          pdweight[slot] = prow[slot] < 0 ? 0.0F
                                          : scale_and_dot(pdrows + prow[slot] * C, prows + prow[slot] * C,
                                                          pdy + n * C, pweight[slot], C);
    });
  });
}

}  // namespace switchyard::kernels
