// router on the CPU: fp32.
#include "kernels/ops/router.h"

#include "kernels/cpu/simd.h"
#include "kernels/cpu/softmax.h"

namespace switchyard::kernels {

namespace {

constexpr std::int64_t kRowGrain = 16;
constexpr std::int64_t kColumns = 16;
constexpr float kTiny = 1e-20F;  // keeps a sum of scores away from 0

std::int64_t tail(std::int64_t E, std::int64_t e) {
  return E - e < Vec::kWidth ? E - e : Vec::kWidth;
}

// NaN ranks below everything; equals do not rank above each other.
bool ranks_above(float a, float b) {
  return a > b || (b != b && a == a);
}

// The best `capacity` of what was offered, best first, the earlier offered first among equals.
struct Best {
  float* keys;
  std::int32_t* ids;
  std::int64_t capacity;
  std::int64_t size = 0;

  void offer(float key, std::int64_t id) {
    if (size == capacity && !ranks_above(key, keys[size - 1])) return;
    std::int64_t at = size < capacity ? size++ : size - 1;
    for (; at > 0 && ranks_above(key, keys[at - 1]); --at) {
      keys[at] = keys[at - 1];
      ids[at] = ids[at - 1];
    }
    keys[at] = key;
    ids[at] = static_cast<std::int32_t>(id);
  }
};

// y = e^(x - shift); returns the sum. Lanes behind the row count as 0.
float exponentials(float* y, const float* x, float shift, std::int64_t E) {
  Vec total = Vec::zero();
  for (std::int64_t e = 0; e < E; e += Vec::kWidth) {
    const std::int64_t n = tail(E, e);
    exp(Vec::load(x + e, n) - Vec::broadcast(shift)).store(y + e, n);
    total = total + Vec::load(y + e, n);
  }
  return sum(total);
}

float sigmoids(float* y, const float* x, std::int64_t E) {
  Vec total = Vec::zero();
  for (std::int64_t e = 0; e < E; e += Vec::kWidth) {
    const std::int64_t n = tail(E, e);
    sigmoid(Vec::load(x + e, n)).store(y + e, n);
    total = total + Vec::load(y + e, n);
  }
  return sum(total);
}

void divide(float* y, const float* x, float by, std::int64_t E) {
  for (std::int64_t e = 0; e < E; e += Vec::kWidth) {
    const std::int64_t n = tail(E, e);
    (Vec::load(x + e, n) / Vec::broadcast(by)).store(y + e, n);
  }
}

float dot(const float* a, const float* b, std::int64_t E) {
  Vec total = Vec::zero();
  for (std::int64_t e = 0; e < E; e += Vec::kWidth)
    total = fma(Vec::load(a + e, tail(E, e)), Vec::load(b + e, tail(E, e)), total);
  return sum(total);
}

// Sizes and options of a call, and the memory for one row.
struct Problem {
  std::int64_t E;
  std::int64_t K;
  RouterOptions options;
};
struct RowScratch {
  float* scores;       // (E) what the weights are made of
  float* keys;         // (E) what the choice looks at
  float* best;         // (2E) keys of the best so far: of the experts of a group, then of the groups
  std::int32_t* ids;   // (2E) and who they belong to
  std::int32_t* kept;  // (E) 1 where a group stays

  static constexpr std::int64_t kFloats = 4;    // times E
  static constexpr std::int64_t kIntegers = 3;  // times E
  RowScratch(float* floats, std::int32_t* integers, std::int64_t E)
      : scores(floats), keys(floats + E), best(floats + 2 * E), ids(integers), kept(integers + 2 * E) {}
};

// Marks the groups that a row may choose from.
void keep_groups(const Problem& problem, RowScratch& scratch) {
  const std::int64_t groups = problem.options.groups;
  const std::int64_t size = problem.E / groups;
  const std::int64_t share = problem.K / problem.options.group_top_k;
  const std::int64_t counted = share < 1 ? 1 : (share < size ? share : size);
  Best best_groups{scratch.best + counted, scratch.ids + counted, problem.options.group_top_k};
  for (std::int64_t group = 0; group < groups; ++group) {
    scratch.kept[group] = 0;
    Best best{scratch.best, scratch.ids, counted};
    for (std::int64_t e = group * size; e < (group + 1) * size; ++e) best.offer(scratch.keys[e], e);
    float total = 0;
    for (std::int64_t i = 0; i < counted; ++i) total += best.keys[i];
    best_groups.offer(total, group);
  }
  for (std::int64_t i = 0; i < best_groups.size; ++i) scratch.kept[best_groups.ids[i]] = 1;
}

void choose(std::int32_t* expert, const Problem& problem, RowScratch& scratch) {
  const std::int64_t groups = problem.options.groups;
  const std::int64_t size = problem.E / groups;
  if (groups > 1) keep_groups(problem, scratch);
  Best best{scratch.best, expert, problem.K};
  for (std::int64_t group = 0; group < groups; ++group) {
    if (groups > 1 && scratch.kept[group] == 0) continue;
    for (std::int64_t e = group * size; e < (group + 1) * size; ++e) best.offer(scratch.keys[e], e);
  }
}

// u (K): softmax of the chosen logits.
void chosen_softmax(float* u, const float* logits, const std::int32_t* expert, std::int64_t K) {
  for (std::int64_t k = 0; k < K; ++k) u[k] = logits[expert[k]];
  const float total = exponentials(u, u, row_max(u, K), K);
  divide(u, u, total, K);
}

// Sum of the chosen scores that weights are divided by; 1 where they are not.
float normaliser(const float* scores, const std::int32_t* expert, const Problem& problem) {
  if (!problem.options.renormalize || (problem.options.sigmoid && problem.K == 1)) return 1.0F;
  float total = 0;
  for (std::int64_t k = 0; k < problem.K; ++k) total += scores[expert[k]];
  return total + kTiny;
}

void forward_row(std::int32_t* expert, float* weight, float* probability, float* lse, const float* logits,
                 const float* bias, const Problem& problem, RowScratch scratch) {
  const std::int64_t E = problem.E;
  const std::int64_t K = problem.K;
  const RouterOptions& options = problem.options;
  const float largest = row_max(logits, E);
  const float total = exponentials(probability, logits, largest, E);
  *lse = log_sum(largest, total);
  divide(probability, probability, total, E);
  const float* scores = probability;
  if (options.sigmoid) {
    divide(probability, scratch.scores, sigmoids(scratch.scores, logits, E) + kTiny, E);
    scores = scratch.scores;
  } else if (options.softmax_after_top_k) {
    scores = logits;
  }
  for (std::int64_t e = 0; e < E; ++e) scratch.keys[e] = scores[e] + (bias == nullptr ? 0.0F : bias[e]);
  choose(expert, problem, scratch);
  if (options.softmax_after_top_k) {
    chosen_softmax(weight, logits, expert, K);
  } else {
    const float by = normaliser(scores, expert, problem);
    for (std::int64_t k = 0; k < K; ++k) weight[k] = scores[expert[k]] / by;
  }
  // A logit that was NaN may not have been chosen: its row is made to show it all the same.
  const float poison = __builtin_isfinite(*lse) ? 0.0F : __builtin_nanf("");
  for (std::int64_t k = 0; k < K; ++k) weight[k] = weight[k] * options.scaling_factor + poison;
}

// What one row of the backward pass reads.
struct BackwardRow {
  const float* dweight;
  const float* dprobability;  // or null
  const std::int32_t* expert;
  const float* probability;
  float lse;
  const float* logits;
};

// scratch.keys = gradient with respect to the scores that the weights were made of (softmax or sigmoid).
void score_gradient(const BackwardRow& row, const float* scores, const Problem& problem,
                    RowScratch& scratch) {
  const float scale = problem.options.scaling_factor;
  const float by = normaliser(scores, row.expert, problem);
  const bool divided = by != 1.0F || problem.options.renormalize;
  float mean = 0;  // sum over the chosen of normalised weight times its gradient
  if (divided && !(problem.options.sigmoid && problem.K == 1))
    for (std::int64_t k = 0; k < problem.K; ++k) mean += scores[row.expert[k]] / by * row.dweight[k];
  for (std::int64_t k = 0; k < problem.K; ++k)
    scratch.keys[row.expert[k]] = scale * (row.dweight[k] - mean) / by;
}

// dlogits = dscore through the sigmoid, with the gradient of the shares added.
void backward_sigmoid(float* dlogits, const BackwardRow& row, const Problem& problem, RowScratch& scratch) {
  const std::int64_t E = problem.E;
  const float total = sigmoids(scratch.scores, row.logits, E) + kTiny;
  score_gradient(row, scratch.scores, problem, scratch);
  const float mean = row.dprobability == nullptr ? 0.0F : dot(row.dprobability, row.probability, E);
  const Vec one = Vec::broadcast(1.0F);
  for (std::int64_t e = 0; e < E; e += Vec::kWidth) {
    const std::int64_t n = tail(E, e);
    const Vec s = Vec::load(scratch.scores + e, n);
    Vec d = Vec::load(scratch.keys + e, n);
    if (row.dprobability != nullptr)
      d = d + (Vec::load(row.dprobability + e, n) - Vec::broadcast(mean)) / Vec::broadcast(total);
    (d * s * (one - s)).store(dlogits + e, n);
  }
}

void backward_softmax(float* dlogits, const BackwardRow& row, const Problem& problem, RowScratch& scratch) {
  const std::int64_t E = problem.E;
  const std::int64_t K = problem.K;
  if (!problem.options.softmax_after_top_k) score_gradient(row, row.probability, problem, scratch);
  if (row.dprobability != nullptr)
    for (std::int64_t e = 0; e < E; ++e) scratch.keys[e] += row.dprobability[e];
  const Vec mean = Vec::broadcast(dot(scratch.keys, row.probability, E));
  for (std::int64_t e = 0; e < E; e += Vec::kWidth) {
    const std::int64_t n = tail(E, e);
    (Vec::load(row.probability + e, n) * (Vec::load(scratch.keys + e, n) - mean)).store(dlogits + e, n);
  }
  if (!problem.options.softmax_after_top_k) return;
  float* u = scratch.best;
  chosen_softmax(u, row.logits, row.expert, K);
  float chosen_mean = 0;
  for (std::int64_t k = 0; k < K; ++k) chosen_mean += u[k] * row.dweight[k];
  for (std::int64_t k = 0; k < K; ++k)
    dlogits[row.expert[k]] += problem.options.scaling_factor * u[k] * (row.dweight[k] - chosen_mean);
}

void backward_row(float* dlogits, const BackwardRow& row, const Problem& problem, RowScratch scratch) {
  const std::int64_t E = problem.E;
  for (std::int64_t e = 0; e < E; ++e) scratch.keys[e] = 0;
  if (problem.options.sigmoid) {
    backward_sigmoid(dlogits, row, problem, scratch);
  } else {
    backward_softmax(dlogits, row, problem, scratch);
  }
  if (problem.options.z_coefficient == 0.0F) return;
  const Vec slope = Vec::broadcast(2.0F * problem.options.z_coefficient * row.lse);
  for (std::int64_t e = 0; e < E; e += Vec::kWidth) {
    const std::int64_t n = tail(E, e);
    const Vec p = exp(Vec::load(row.logits + e, n) - Vec::broadcast(row.lse));
    fma(slope, p, Vec::load(dlogits + e, n)).store(dlogits + e, n);
  }
}

// Runs body(row, scratch of this range) over all rows.
template <typename Body>
void for_rows(Context& context, std::int64_t N, std::int64_t E, Body body) {
  const std::int64_t ranges = (N + kRowGrain - 1) / kRowGrain;
  ArenaScope scope(context.scratch());
  const std::int64_t floats = RowScratch::kFloats * E;
  const std::int64_t integers = RowScratch::kIntegers * E;
  auto* pfloats = scope.tensor(DType::f32, {ranges, floats}).data<float>();
  auto* pintegers = scope.tensor(DType::i32, {ranges, integers}).data<std::int32_t>();
  context.threads().run(N, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t range = begin / kRowGrain;
    const RowScratch scratch(pfloats + range * floats, pintegers + range * integers, E);
    for (std::int64_t n = begin; n < end; ++n) body(n, scratch);
  });
}

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
void Router<kBackend>::forward(Context& context, TensorView expert, TensorView weight, TensorView probability,
                               TensorView lse, ConstTensorView logits, ConstTensorView bias,
                               const RouterOptions& options) {
  const std::int64_t E = logits.dim(1);
  const std::int64_t K = expert.dim(1);
  const Problem problem{E, K, options};
  auto* pexpert = expert.data<std::int32_t>();
  auto* pweight = weight.data<float>();
  auto* pprobability = probability.data<float>();
  auto* plse = lse.data<float>();
  const auto* plogits = logits.data<float>();
  const float* pbias = bias.present() ? bias.data<float>() : nullptr;
  for_rows(context, logits.dim(0), E, [&](std::int64_t n, RowScratch scratch) {
    forward_row(pexpert + n * K, pweight + n * K, pprobability + n * E, plse + n, plogits + n * E, pbias,
                problem, scratch);
  });
}

template <>
void Router<kBackend>::backward(Context& context, TensorView dlogits, ConstTensorView dweight,
                                ConstTensorView dprobability, ConstTensorView expert, ConstTensorView,
                                ConstTensorView probability, ConstTensorView lse, ConstTensorView logits,
                                const RouterOptions& options) {
  const std::int64_t N = logits.dim(0);
  const std::int64_t E = logits.dim(1);
  const std::int64_t K = expert.dim(1);
  const Problem problem{E, K, options};
  auto* pdlogits = dlogits.data<float>();
  const auto* pdweight = dweight.data<float>();
  const float* pdprobability = dprobability.present() ? dprobability.data<float>() : nullptr;
  const std::int64_t run = dprobability.present() && N > 0 ? N / dprobability.dim(0) : 1;
  const auto* pexpert = expert.data<std::int32_t>();
  const auto* pprobability = probability.data<float>();
  const auto* plse = lse.data<float>();
  const auto* plogits = logits.data<float>();
  for_rows(context, N, E, [&](std::int64_t n, RowScratch scratch) {
    const BackwardRow row{pdweight + n * K, pdprobability == nullptr ? nullptr : pdprobability + n / run * E,
                          pexpert + n * K,  pprobability + n * E,
                          plse[n],          plogits + n * E};
    backward_row(pdlogits + n * E, row, problem, scratch);
  });
}

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
