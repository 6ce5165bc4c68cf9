// Launches of adamw's kernels. Contract: kernels/ops/adamw.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace switchyard::kernels::cuda {

/// adamw's AdamwScalars and the factor from sums to gradients.
struct AdamwNumbers {
  float learning_rate, beta1, beta2, epsilon, weight_decay, bias_correction1, bias_correction2;
  double sums_to_gradient;
};

struct AdamwState {
  float* master;
  float* m;
  float* v;
  void* weight;         ///< or null
  bool weight_is_bf16;  ///< else f32
  const std::int64_t* sums;
};

/// One launch for the whole shard.
void adamw_step(cudaStream_t stream, const AdamwState& state, std::int64_t n, const AdamwNumbers& numbers);

/// Where the sum of squares is added up: an integer in three words, lowest first, in units of 2^-80, and the
/// number of runs that did not fit the grid.
struct SquareWords {
  unsigned long long low, high, above, refused;
};
/// `words` in device memory, zero before the first call. Adds (sums[i] * factor)^2 in runs of kNormBlock.
void add_squares(cudaStream_t stream, SquareWords* words, const std::int64_t* sums, std::int64_t n,
                 double factor);

}  // namespace switchyard::kernels::cuda
