// Specification of ops/router.h, on any scalar (double, or std::complex<double> for gradient checks). The
// choice looks at real parts only, so a complex step never changes it.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

#include "kernels/ops/router.h"
#include "kernels/reference/cross_entropy.h"
#include "kernels/reference/swiglu.h"

namespace switchyard::kernels::reference {

inline constexpr double kRouterTiny = 1e-20;

/// Indices of the `count` largest keys that are allowed, largest first, the lowest index among equals.
inline std::vector<std::int32_t> largest_keys(const std::vector<double>& keys,
                                              const std::vector<bool>& allowed, std::int64_t count) {
  std::vector<std::int32_t> chosen;
  std::vector<bool> open = allowed;
  for (std::int64_t round = 0; round < count; ++round) {
    std::int64_t best = -1;
    for (std::size_t i = 0; i < keys.size(); ++i)
      if (open[i] && (best < 0 || keys[i] > keys[static_cast<std::size_t>(best)]))
        best = static_cast<std::int64_t>(i);
    chosen.push_back(static_cast<std::int32_t>(best));
    open[static_cast<std::size_t>(best)] = false;
  }
  return chosen;
}

/// Experts that the kept groups leave.
inline std::vector<bool> allowed_experts(const std::vector<double>& keys, std::int64_t K,
                                         const RouterOptions& options) {
  const auto E = static_cast<std::int64_t>(keys.size());
  const std::int64_t size = E / options.groups;
  const std::int64_t counted = std::min(size, std::max<std::int64_t>(1, K / options.group_top_k));
  std::vector<double> group_keys;
  for (std::int64_t group = 0; group < options.groups; ++group) {
    const std::vector<double> members(keys.begin() + group * size, keys.begin() + (group + 1) * size);
    double total = 0;
    for (const std::int32_t i : largest_keys(members, std::vector<bool>(members.size(), true), counted))
      total += members[static_cast<std::size_t>(i)];
    group_keys.push_back(total);
  }
  std::vector<bool> allowed(keys.size(), false);
  for (const std::int32_t group :
       largest_keys(group_keys, std::vector<bool>(group_keys.size(), true), options.group_top_k))
    for (std::int64_t e = group * size; e < (group + 1) * size; ++e)
      allowed[static_cast<std::size_t>(e)] = true;
  return allowed;
}

inline bool router_divides(std::int64_t K, const RouterOptions& options) {
  return options.softmax_after_top_k || (options.renormalize && !(options.sigmoid && K == 1));
}

/// What the weights of one row are made of: softmax over all, e^logit (for the softmax over the chosen, which
/// is this divided by its sum), or sigmoid.
template <typename T>
std::vector<T> router_scores(const T* logits, std::int64_t E, const RouterOptions& options) {
  using std::exp;
  const T lse = log_sum_exp(logits, E);
  std::vector<T> scores;
  for (std::int64_t e = 0; e < E; ++e)
    scores.push_back(options.sigmoid ? sigmoid(logits[e]) : exp(logits[e] - lse));
  return scores;
}

/// bias (E) may be null.
template <typename T>
void router_forward(std::int32_t* expert, T* weight, T* probability, T* lse, const T* logits,
                    const double* bias, std::int64_t N, std::int64_t E, std::int64_t K,
                    const RouterOptions& options) {
  for (std::int64_t n = 0; n < N; ++n) {
    const T* row = logits + n * E;
    const std::vector<T> scores = router_scores(row, E, options);
    lse[n] = log_sum_exp(row, E);
    T total = kRouterTiny;
    for (const T& score : scores) total += score;
    for (std::int64_t e = 0; e < E; ++e)
      probability[n * E + e] =
          options.sigmoid ? scores[static_cast<std::size_t>(e)] / total : scores[static_cast<std::size_t>(e)];
    std::vector<double> keys;
    for (std::int64_t e = 0; e < E; ++e)
      keys.push_back(
          (options.softmax_after_top_k ? std::real(row[e]) : std::real(scores[static_cast<std::size_t>(e)])) +
          (bias == nullptr ? 0.0 : bias[e]));
    const std::vector<std::int32_t> chosen = largest_keys(keys, allowed_experts(keys, K, options), K);
    T chosen_total = options.softmax_after_top_k ? 0.0 : kRouterTiny;
    for (const std::int32_t e : chosen) chosen_total += scores[static_cast<std::size_t>(e)];
    if (!router_divides(K, options)) chosen_total = 1;
    for (std::int64_t k = 0; k < K; ++k) {
      expert[n * K + k] = chosen[static_cast<std::size_t>(k)];
      weight[n * K + k] = static_cast<double>(options.scaling_factor) *
                          scores[static_cast<std::size_t>(chosen[static_cast<std::size_t>(k)])] /
                          chosen_total;
    }
  }
}

/// dlogits is overwritten. dprobability (S, E) may be null.
template <typename T>
void router_backward(T* dlogits, const T* dweight, const T* dprobability, std::int64_t S,
                     const std::int32_t* expert, const T* logits, std::int64_t N, std::int64_t E,
                     std::int64_t K, const RouterOptions& options) {
  using std::exp;
  for (std::int64_t n = 0; n < N; ++n) {
    const T* row = logits + n * E;
    const std::int32_t* chosen = expert + n * K;
    const std::vector<T> scores = router_scores(row, E, options);
    std::vector<T> dscore(static_cast<std::size_t>(E), T(0));
    // Through weight = scale * score / total of the chosen.
    T total = options.softmax_after_top_k ? 0.0 : kRouterTiny;
    for (std::int64_t k = 0; k < K; ++k) total += scores[static_cast<std::size_t>(chosen[k])];
    const bool divides = router_divides(K, options);
    if (!divides) total = 1;
    T mean = 0;
    for (std::int64_t k = 0; k < K && divides; ++k)
      mean += dweight[n * K + k] * scores[static_cast<std::size_t>(chosen[k])] / total;
    for (std::int64_t k = 0; k < K; ++k)
      dscore[static_cast<std::size_t>(chosen[k])] +=
          static_cast<double>(options.scaling_factor) * (dweight[n * K + k] - mean) / total;
    // Through the probabilities that the balancing losses see.
    if (dprobability != nullptr) {
      const T* dp = dprobability + n / (N / S) * E;
      T all = kRouterTiny;
      for (const T& score : scores) all += score;
      T share = 0;
      for (std::int64_t e = 0; e < E; ++e) share += dp[e] * scores[static_cast<std::size_t>(e)] / all;
      for (std::int64_t e = 0; e < E; ++e)
        dscore[static_cast<std::size_t>(e)] += options.sigmoid ? (dp[e] - share) / all : dp[e];
    }
    // Through the scores and the log-sum-exp.
    const T lse = log_sum_exp(row, E);
    T inner = 0;
    for (std::size_t e = 0; e < scores.size(); ++e) inner += scores[e] * dscore[e];
    for (std::int64_t e = 0; e < E; ++e) {
      const T s = scores[static_cast<std::size_t>(e)];
      const T d = dscore[static_cast<std::size_t>(e)];
      dlogits[n * E + e] = (options.sigmoid ? d * s * (T(1) - s) : s * (d - inner)) +
                           2.0 * static_cast<double>(options.z_coefficient) * lse * exp(row[e] - lse);
    }
  }
}

}  // namespace switchyard::kernels::reference
