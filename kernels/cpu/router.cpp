// Choice, weights and gradients of the router on the CPU: fp32.
#include "kernels/ops/router.h"

#include "kernels/cpu/router_rows.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/softmax.h"

namespace switchyard::kernels {

namespace {

constexpr float kTiny = 1e-20F;  // keeps a sum of scores away from 0

std::int64_t tail(std::int64_t E, std::int64_t e) {
  return E - e < Vec::kWidth ? E - e : Vec::kWidth;
}

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

// Sizes and options of a call.
struct Problem {
  std::int64_t E;
  std::int64_t K;
  RouterOptions options;
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

}  // namespace switchyard::kernels
