// Choice, weights and gradients of the router on the GPU: one warp per row, with the row in shared memory.
// Lane l sums the experts l, l + 32, ... and then the lanes are added as a tree: the order depends on E
// alone.
#include "kernels/cuda/routing/router.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/shared_memory.h"
#include "kernels/cuda/routing/router_rows.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr float kTiny = 1e-20F;  // keeps a sum of scores away from 0
constexpr int kMostRowsPerBlock = 4;

__device__ __forceinline__ int lane_id() {
  return static_cast<int>(threadIdx.x) % kWarp;
}

__device__ __forceinline__ float largest_of(const float* x, std::int64_t E) {
  float largest = -INFINITY;
  for_experts(E, [&](std::int64_t e) {
    if (x[e] > largest) largest = x[e];
  });
  return warp_max(largest);
}

// Marks the groups that the row may choose from: the best by the sum of their best keys.
__device__ __forceinline__ void keep_groups(const RouterShape& shape, const RouterScratch& scratch) {
  const std::int64_t size = shape.E / shape.groups;
  const std::int64_t share = shape.K / shape.group_top_k;
  const std::int64_t counted = share < 1 ? 1 : share < size ? share : size;
  const auto any = [](std::int64_t) { return true; };
  for (std::int64_t group = lane_id(); group < shape.groups; group += kWarp) {
    Candidate previous{0.0F, -1};
    float total = 0;
    for (std::int64_t i = 0; i < counted; ++i) {
      previous = next_after(previous, scratch.keys, group * size, (group + 1) * size, 1, any);
      total += previous.key;
    }
    scratch.totals[group] = total;
    scratch.kept[group] = 0;
  }
  __syncwarp();
  Candidate previous{0.0F, -1};
  for (std::int32_t i = 0; i < shape.group_top_k; ++i) {
    previous = warp_first(next_after(previous, scratch.totals, lane_id(), shape.groups, kWarp, any));
    if (lane_id() == 0) scratch.kept[previous.id] = 1;
  }
  __syncwarp();
}

// The K best keys, best first, the lower expert first among equals.
__device__ __forceinline__ void choose(std::int32_t* expert, const RouterShape& shape,
                                       const RouterScratch& scratch) {
  if (shape.groups > 1) keep_groups(shape, scratch);
  const std::int64_t size = shape.E / shape.groups;
  const auto may = [&](std::int64_t e) { return shape.groups == 1 || scratch.kept[e / size] != 0; };
  Candidate previous{0.0F, -1};
  for (std::int64_t k = 0; k < shape.K; ++k) {
    previous = warp_first(next_after(previous, scratch.keys, lane_id(), shape.E, kWarp, may));
    if (lane_id() == 0) expert[k] = previous.id;
  }
  __syncwarp();  // expert is read by all lanes from here on
}

// Largest of the chosen logits and the sum of e^(logit - largest) over them; the same in all lanes.
struct ChosenSoftmax {
  __device__ ChosenSoftmax(const float* logits, const std::int32_t* expert, std::int64_t K) {
    for (std::int64_t k = 0; k < K; ++k)
      if (logits[expert[k]] > largest) largest = logits[expert[k]];
    for (std::int64_t k = 0; k < K; ++k) total += exponential(logits[expert[k]] - largest);
  }
  __device__ float of(float logit) const { return exponential(logit - largest) / total; }
  float largest = -INFINITY;
  float total = 0;
};

// Sum of the chosen scores that weights are divided by; 1 where they are not.
__device__ __forceinline__ float normaliser(const float* scores, const std::int32_t* expert,
                                            const RouterShape& shape) {
  if (!shape.renormalize || (shape.sigmoid && shape.K == 1)) return 1.0F;
  float total = 0;
  for (std::int64_t k = 0; k < shape.K; ++k) total += scores[expert[k]];
  return total + kTiny;
}

// scratch.scores = sigmoids; returns their sum + tiny.
__device__ __forceinline__ float sigmoids(const RouterScratch& scratch, const float* logits, std::int64_t E) {
  return sum_experts(E,
                     [&](std::int64_t e) {
                       scratch.scores[e] = sigmoid(logits[e]);
                       return scratch.scores[e];
                     }) +
         kTiny;
}

__global__ void __launch_bounds__(kMostRowsPerBlock* kWarp)
    router_forward_warp_per_row(RouterShape shape, std::int32_t* experts, float* weights,
                                float* probabilities, float* lses, const float* all_logits,
                                const float* bias) {
  const std::int64_t E = shape.E;
  const unsigned warp = threadIdx.x / kWarp;
  const std::int64_t n = std::int64_t{blockIdx.x} * (blockDim.x / kWarp) + warp;
  if (n >= shape.N) return;
  const RouterScratch scratch(dynamic_shared<float>() + warp * RouterScratch::kWordsPerExpert * E, E);
  const float* const logits = all_logits + n * E;
  float* const probability = probabilities + n * E;
  std::int32_t* const expert = experts + n * shape.K;

  const float largest = largest_of(logits, E);
  const float total = sum_experts(E, [&](std::int64_t e) {
    scratch.keys[e] = exponential(logits[e] - largest);
    return scratch.keys[e];
  });
  const float lse = log_sum(largest, total);
  if (lane_id() == 0) lses[n] = lse;
  const float share = shape.sigmoid ? sigmoids(scratch, logits, E) : total;
  for_experts(E, [&](std::int64_t e) {
    probability[e] = (shape.sigmoid ? scratch.scores[e] : scratch.keys[e]) / share;
    if (!shape.sigmoid) scratch.scores[e] = shape.softmax_after_top_k ? logits[e] : probability[e];
    scratch.keys[e] = scratch.scores[e] + (bias == nullptr ? 0.0F : bias[e]);
  });
  __syncwarp();
  choose(expert, shape, scratch);

  // A logit that was NaN may not have been chosen: its row is made to show it all the same.
  const float poison = fabsf(lse) < INFINITY ? 0.0F : NAN;
  const float by = normaliser(scratch.scores, expert, shape);
  const ChosenSoftmax softmax(logits, expert, shape.softmax_after_top_k ? shape.K : 0);
  for (std::int64_t k = lane_id(); k < shape.K; k += kWarp) {
    const float chosen = scratch.scores[expert[k]];
    const float weight = shape.softmax_after_top_k ? softmax.of(chosen) : chosen / by;
    weights[n * shape.K + k] = weight * shape.scaling_factor + poison;
  }
}

// scratch.keys[expert] = gradient with respect to the scores that the weights were made of.
__device__ __forceinline__ void score_gradient(const RouterShape& shape, const RouterScratch& scratch,
                                               const float* scores, const std::int32_t* expert,
                                               const float* dweight) {
  const float by = normaliser(scores, expert, shape);
  float mean = 0;  // sum over the chosen of normalised weight times its gradient
  if (shape.renormalize && !(shape.sigmoid && shape.K == 1))
    for (std::int64_t k = 0; k < shape.K; ++k) mean += scores[expert[k]] / by * dweight[k];
  for (std::int64_t k = lane_id(); k < shape.K; k += kWarp)
    scratch.keys[expert[k]] = shape.scaling_factor * (dweight[k] - mean) / by;
  __syncwarp();
}

struct RouterRow {
  const float* dweight;
  const float* dprobability;  // or null
  const std::int32_t* expert;
  const float* probability;
  const float* logits;
};

__device__ __forceinline__ void backward_sigmoid(const RouterShape& shape, const RouterScratch& scratch,
                                                 const RouterRow& row) {
  const float total = sigmoids(scratch, row.logits, shape.E);
  __syncwarp();
  score_gradient(shape, scratch, scratch.scores, row.expert, row.dweight);
  const float mean = row.dprobability == nullptr ? 0.0F : sum_experts(shape.E, [&](std::int64_t e) {
    return row.dprobability[e] * row.probability[e];
  });
  for_experts(shape.E, [&](std::int64_t e) {
    const float s = scratch.scores[e];
    float d = scratch.keys[e];
    if (row.dprobability != nullptr) d = d + (row.dprobability[e] - mean) / total;
    scratch.totals[e] = d * s * (1.0F - s);
  });
}

__device__ __forceinline__ void backward_softmax(const RouterShape& shape, const RouterScratch& scratch,
                                                 const RouterRow& row) {
  if (!shape.softmax_after_top_k) score_gradient(shape, scratch, row.probability, row.expert, row.dweight);
  const float mean = sum_experts(shape.E, [&](std::int64_t e) {
    if (row.dprobability != nullptr) scratch.keys[e] += row.dprobability[e];
    return scratch.keys[e] * row.probability[e];
  });
  for_experts(shape.E,
              [&](std::int64_t e) { scratch.totals[e] = row.probability[e] * (scratch.keys[e] - mean); });
  if (!shape.softmax_after_top_k) return;
  __syncwarp();
  const ChosenSoftmax softmax(row.logits, row.expert, shape.K);
  float chosen_mean = 0;
  for (std::int64_t k = 0; k < shape.K; ++k)
    chosen_mean += softmax.of(row.logits[row.expert[k]]) * row.dweight[k];
  for (std::int64_t k = lane_id(); k < shape.K; k += kWarp)
    scratch.totals[row.expert[k]] +=
        shape.scaling_factor * softmax.of(row.logits[row.expert[k]]) * (row.dweight[k] - chosen_mean);
}

__global__ void __launch_bounds__(kMostRowsPerBlock* kWarp)
    router_backward_warp_per_row(RouterShape shape, float* dlogits, RouterGradients gradients,
                                 const std::int32_t* experts, const float* probabilities, const float* lses,
                                 const float* logits) {
  const std::int64_t E = shape.E;
  const unsigned warp = threadIdx.x / kWarp;
  const std::int64_t n = std::int64_t{blockIdx.x} * (blockDim.x / kWarp) + warp;
  if (n >= shape.N) return;
  const RouterScratch scratch(dynamic_shared<float>() + warp * RouterScratch::kWordsPerExpert * E, E);
  const RouterRow row{
      gradients.dweight + n * shape.K,
      gradients.dprobability == nullptr ? nullptr : gradients.dprobability + n / gradients.run * E,
      experts + n * shape.K, probabilities + n * E, logits + n * E};
  for_experts(E, [&](std::int64_t e) { scratch.keys[e] = 0.0F; });
  __syncwarp();
  if (shape.sigmoid) {
    backward_sigmoid(shape, scratch, row);
  } else {
    backward_softmax(shape, scratch, row);
  }
  __syncwarp();
  const float slope = 2.0F * shape.z_coefficient * lses[n];
  for_experts(E, [&](std::int64_t e) {
    const float d = scratch.totals[e];
    dlogits[n * E + e] =
        shape.z_coefficient == 0.0F ? d : fmaf(slope, exponential(row.logits[e] - lses[n]), d);
  });
}

// As many rows per block as fit the shared memory that needs no asking for.
LaunchShape row_shape(const RouterShape& shape) {
  constexpr std::int64_t kShared = 48 * 1024;
  const std::int64_t row_bytes =
      RouterScratch::kWordsPerExpert * shape.E * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t fitting = kShared / row_bytes;
  const std::int64_t rows = fitting < 1 ? 1 : fitting < kMostRowsPerBlock ? fitting : kMostRowsPerBlock;
  return {blocks_for(shape.N, rows), static_cast<unsigned>(rows * kWarp),
          static_cast<std::size_t>(rows * row_bytes)};
}

}  // namespace

void router_forward(cudaStream_t stream, const RouterShape& shape, std::int32_t* expert, float* weight,
                    float* probability, float* lse, const float* logits, const float* bias) {
  launch(stream, "router_forward", row_shape(shape), router_forward_warp_per_row, shape, expert, weight,
         probability, lse, logits, bias);
}

void router_backward(cudaStream_t stream, const RouterShape& shape, float* dlogits,
                     const RouterGradients& gradients, const std::int32_t* expert, const float* probability,
                     const float* lse, const float* logits) {
  launch(stream, "router_backward", row_shape(shape), router_backward_warp_per_row, shape, dlogits, gradients,
         expert, probability, lse, logits);
}

}  // namespace switchyard::kernels::cuda
