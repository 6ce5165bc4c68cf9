// Statistics and capacity of the router on the CPU.
#include <cstring>

#include "kernels/cpu/router_rows.h"
#include "kernels/cpu/simd.h"
#include "kernels/ops/router.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kColumns = 16;

double entropy(const float* probability, std::int64_t E) {
  double total = 0;
  for (std::int64_t e = 0; e < E; ++e) {
    const auto p = static_cast<double>(probability[e]);
    if (p != 0) total -= p * __builtin_log(p);
  }
  return total;
}

// A number that sorts like the weight; NaN sorts below everything, -0 equals 0.
std::uint32_t sortable(float weight) {
  if (weight != weight) return 0;
  const float plain = weight + 0.0F;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &plain, sizeof bits);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

std::int64_t count_from(const float* weight, const std::int32_t* slots, std::int64_t count,
                        std::uint32_t least) {
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) found += sortable(weight[slots[i]]) >= least;
  return found;
}

// Drops all but the `capacity` largest of one expert's slots (in row order); capacity < count.
void drop_smallest(std::int32_t* expert, const float* weight, const std::int32_t* slots, std::int64_t count,
                   std::int64_t capacity) {
  std::uint32_t least = 0;  // the capacity-th largest key, found bit by bit
  for (std::uint32_t bit = 0x80000000U; capacity > 0 && bit != 0; bit >>= 1)
    if (count_from(weight, slots, count, least | bit) >= capacity) least |= bit;
  std::int64_t equals_kept =
      capacity == 0 ? 0 : capacity - (least == 0xffffffffU ? 0 : count_from(weight, slots, count, least + 1));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t key = sortable(weight[slots[i]]);
    if (capacity > 0 && (key > least || (key == least && equals_kept-- > 0))) continue;
    expert[slots[i]] = -1;
  }
}

}  // namespace

template <>
void Router<kBackend>::statistics(Context& context, TensorView probability_sum, TensorView top_count,
                                  TensorView load, TensorView row_sums, ConstTensorView probability,
                                  ConstTensorView lse, ConstTensorView expert) {
  const std::int64_t N = probability.dim(0);
  const std::int64_t E = probability.dim(1);
  const std::int64_t K = expert.dim(1);
  const std::int64_t S = probability_sum.dim(0);
  const std::int64_t run = N / S;
  auto* psum = probability_sum.data<double>();
  auto* ptop = top_count.data<std::int64_t>();
  auto* pload = load.data<std::int64_t>();
  auto* prow_sums = row_sums.data<double>();
  const auto* pprobability = probability.data<float>();
  const auto* plse = lse.data<float>();
  const auto* pexpert = expert.data<std::int32_t>();
  for (std::int64_t i = 0; i < S * E; ++i) ptop[i] = 0;
  for (std::int64_t e = 0; e < E; ++e) pload[e] = 0;
  for (std::int64_t slot = 0; slot < N * K; ++slot)
    if (pexpert[slot] >= 0) ++pload[pexpert[slot]];

  // Sums by column, so that each one runs over the rows in order whatever the threads.
  const std::int64_t strips = (E + kColumns - 1) / kColumns;
  context.threads().run(S * strips, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t s = item / strips;
      const std::int64_t first = item % strips * kColumns;
      const std::int64_t last = first + kColumns < E ? first + kColumns : E;
      for (std::int64_t e = first; e < last; ++e) psum[s * E + e] = 0;
      for (std::int64_t n = s * run; n < (s + 1) * run; ++n)
        for (std::int64_t e = first; e < last; ++e)
          psum[s * E + e] += static_cast<double>(pprobability[n * E + e]);
    }
  });

  ArenaScope scope(context.scratch());
  auto* entropies = scope.tensor(DType::f64, {N}).data<double>();
  for_rows(context, N, E, [&](std::int64_t n, RowScratch scratch) {
    entropies[n] = entropy(pprobability + n * E, E);
    Best best{scratch.best, scratch.ids, K};
    for (std::int64_t e = 0; e < E; ++e) best.offer(pprobability[n * E + e], e);
    for (std::int64_t k = 0; k < K; ++k)
      __atomic_fetch_add(ptop + n / run * E + best.ids[k], 1, __ATOMIC_RELAXED);
  });
  prow_sums[0] = 0;
  prow_sums[1] = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    prow_sums[0] += entropies[n];
    prow_sums[1] += static_cast<double>(plse[n]) * static_cast<double>(plse[n]);
  }
}

template <>
void Router<kBackend>::drop(Context& context, TensorView expert, ConstTensorView weight, std::int64_t experts,
                            std::int64_t capacity, bool by_probability) {
  const std::int64_t slots = expert.elements();
  auto* pexpert = expert.data<std::int32_t>();
  const auto* pweight = weight.data<float>();
  ArenaScope scope(context.scratch());
  auto* end_of = scope.tensor(DType::i32, {experts + 1}).data<std::int32_t>();
  auto* sorted = scope.tensor(DType::i32, {slots}).data<std::int32_t>();
  for (std::int64_t e = 0; e <= experts; ++e) end_of[e] = 0;
  for (std::int64_t slot = 0; slot < slots; ++slot)
    if (pexpert[slot] >= 0) ++end_of[pexpert[slot] + 1];
  for (std::int64_t e = 0; e < experts; ++e) end_of[e + 1] += end_of[e];
  // end_of[e] starts as the first place of expert e and grows to the end of it.
  for (std::int64_t slot = 0; slot < slots; ++slot)
    if (pexpert[slot] >= 0) sorted[end_of[pexpert[slot]]++] = static_cast<std::int32_t>(slot);
  context.threads().run(experts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t e = begin; e < end; ++e) {
      const std::int64_t first = e == 0 ? 0 : end_of[e - 1];
      const std::int64_t count = end_of[e] - first;
      if (count <= capacity) continue;
      if (by_probability) {
        drop_smallest(pexpert, pweight, sorted + first, count, capacity);
      } else {
        for (std::int64_t i = capacity; i < count; ++i) pexpert[sorted[first + i]] = -1;
      }
    }
  });
}

}  // namespace switchyard::kernels
