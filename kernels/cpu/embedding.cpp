// embedding on the CPU.
#include "kernels/ops/embedding.h"

#include "kernels/cpu/grid.h"
#include "kernels/cpu/simd.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 64;
constexpr std::int64_t kColumnGrain = 64;
constexpr std::int32_t kNone = -1;

// The rows of one token within one gradient block, as a chain in row order.
struct Chains {
  std::int32_t* next;      // (N) the following row of the same token and block, or kNone
  std::int32_t* is_first;  // (N) 1 where a chain starts
};

// Blocks are small, so that each one's tokens fit a table that is never more than half full.
void link_block(Chains chains, const std::int32_t* tokens, std::int64_t begin, std::int64_t end) {
  constexpr std::uint32_t kSlots = 2 * static_cast<std::uint32_t>(kGradientBlockRows);
  static_assert((kSlots & (kSlots - 1)) == 0);
  std::int32_t last[kSlots];  // last row seen of the token that lives in the slot
  for (std::int32_t& row : last) row = kNone;
  for (std::int64_t row = begin; row < end; ++row) {
    std::uint32_t slot = (static_cast<std::uint32_t>(tokens[row]) * 2654435769U) >> 7U & (kSlots - 1);
    while (last[slot] != kNone && tokens[last[slot]] != tokens[row]) slot = (slot + 1) & (kSlots - 1);
    chains.next[row] = kNone;
    chains.is_first[row] = last[slot] == kNone;
    if (last[slot] != kNone) chains.next[last[slot]] = static_cast<std::int32_t>(row);
    last[slot] = static_cast<std::int32_t>(row);
  }
}

// Columns [c0, c1) of the table's gradient.
template <typename A>
std::int64_t add_columns(const GradientSum& dweight, const A* dx, const std::int32_t* tokens, Chains chains,
                         std::int64_t N, std::int64_t C, std::int64_t c0, std::int64_t c1) {
  auto* sums = dweight.sums.data<std::int64_t>();
  std::int64_t refused = 0;
  for (std::int64_t head = 0; head < N; ++head) {
    if (chains.is_first[head] == 0) continue;
    for (std::int64_t c = c0; c < c1; c += Vec::kWidth) {
      const std::int64_t n = c1 - c < Vec::kWidth ? c1 - c : Vec::kWidth;
      Vec total = Vec::zero();
      for (std::int64_t row = head; row != kNone; row = chains.next[row])
        total = total + Vec::load(dx + row * C + c, n);
      float values[Vec::kWidth];
      total.store(values);
      refused += add_to_grid(sums + tokens[head] * C + c, values, n, dweight.limit);
    }
  }
  return refused;
}

}  // namespace

template <>
void Embedding<kBackend>::forward(Context& context, TensorView x, ConstTensorView tokens,
                                  ConstTensorView weight) {
  const std::int64_t C = x.dim(1);
  auto* px = static_cast<unsigned char*>(x.raw());
  const auto* ptokens = tokens.data<std::int32_t>();
  const auto* pweight = static_cast<const unsigned char*>(weight.raw());
  const std::int64_t row_bytes = C * static_cast<std::int64_t>(dtype_size(x.dtype()));
  context.threads().run(x.dim(0), kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n)
      std::memcpy(px + n * row_bytes, pweight + ptokens[n] * row_bytes, static_cast<std::size_t>(row_bytes));
  });
}

template <>
void Embedding<kBackend>::backward(Context& context, const GradientSum& dweight, ConstTensorView dx,
                                   ConstTensorView tokens) {
  const std::int64_t N = dx.dim(0);
  const std::int64_t C = dx.dim(1);
  ArenaScope scope(context.scratch());
  const Chains chains{scope.tensor(DType::i32, {N}).data<std::int32_t>(),
                      scope.tensor(DType::i32, {N}).data<std::int32_t>()};
  const auto* ptokens = tokens.data<std::int32_t>();
  auto* overflow = dweight.overflow.data<std::int64_t>();
  for (std::int64_t begin = 0; begin < N; begin += kGradientBlockRows)
    link_block(chains, ptokens, begin, N - begin < kGradientBlockRows ? N : begin + kGradientBlockRows);
  with_element(dx.dtype(), [&](auto tag) {
    const auto* pdx = dx.data<typename decltype(tag)::Element>();
    context.threads().run(C, kColumnGrain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t refused = add_columns(dweight, pdx, ptokens, chains, N, C, begin, end);
      if (refused > 0) __atomic_fetch_add(overflow, refused, __ATOMIC_RELAXED);
    });
  });
}

}  // namespace switchyard::kernels
