// adamw on the GPU: the CPU's operations in the CPU's order, each rounded once, so that the bits are the
// same.
#include "kernels/cuda/optimizer/adamw.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/numbers.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/ops/norm_grid.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kLanesPerRun = 8;  // of a run of squares, as on the CPU
constexpr int kRunsPerBlock = kThreads / kLanesPerRun;

// A thread per element: neighbours read and write neighbours, and nothing is shared.
template <typename W>
__global__ void __launch_bounds__(kThreads)
    adamw_step_thread_per_element(AdamwState state, W* weight, std::int64_t n, AdamwNumbers numbers) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const auto gradient = static_cast<float>(static_cast<double>(state.sums[i]) * numbers.sums_to_gradient);
  const float m = numbers.beta1 * state.m[i] + (1.0F - numbers.beta1) * gradient;
  const float v = numbers.beta2 * state.v[i] + (1.0F - numbers.beta2) * (gradient * gradient);
  const float master = state.master[i];
  const float direction =
      m / numbers.bias_correction1 / (sqrtf(v / numbers.bias_correction2) + numbers.epsilon);
  const float updated = master - numbers.learning_rate * (direction + numbers.weight_decay * master);
  state.m[i] = m;
  state.v[i] = v;
  state.master[i] = updated;
  if (weight != nullptr) weight[i] = from_float<W>(updated);
}

// Carries go up a word: exact, so that blocks may add in any order.
__device__ __forceinline__ void add_words(SquareWords* words, unsigned long long low,
                                          unsigned long long high) {
  const unsigned long long old_low = atomicAdd(&words->low, low);
  const unsigned long long carry = old_low + low < low ? 1ULL : 0ULL;
  const unsigned long long add = high + carry;  // high < 2^62
  const unsigned long long old_high = atomicAdd(&words->high, add);
  if (old_high + add < add) atomicAdd(&words->above, 1ULL);
}

// The nearest multiple of 2^-kNormGridExponent; 0 <= value < 2^46.
__device__ __forceinline__ void to_words(double value, unsigned long long& low, unsigned long long& high) {
  static_assert(kNormGridExponent == 80);
  const double units = rint(value * 0x1p80);  // the product is exact
  if (units < 0x1p63) {
    low = static_cast<unsigned long long>(__double2ll_rn(units));
    high = 0;
    return;
  }
  const auto bits = static_cast<unsigned long long>(__double_as_longlong(units));
  const unsigned long long mantissa = (bits & 0xfffffffffffffULL) | 0x10000000000000ULL;
  const int shift = static_cast<int>(bits >> 52) - 1075;  // 11 to 73
  low = shift < 64 ? mantissa << shift : 0ULL;
  high = shift < 64 ? mantissa >> (64 - shift) : mantissa << (shift - 64);
}

// Eight threads per run: thread j adds elements j, j + 8, ..., then the eight are added as a tree.
__global__ void __launch_bounds__(kThreads)
    add_squares_eight_threads_per_run(SquareWords* words, const std::int64_t* sums, std::int64_t n,
                                      double factor) {
  const std::int64_t first =
      (std::int64_t{blockIdx.x} * kRunsPerBlock + threadIdx.x / kLanesPerRun) * kNormBlock;
  const int lane = static_cast<int>(threadIdx.x) % kLanesPerRun;
  double total = 0;
  for (std::int64_t i = first + lane; i < n && i < first + kNormBlock; i += kLanesPerRun) {
    const double value = static_cast<double>(sums[i]) * factor;
    total += value * value;
  }
#pragma unroll
  for (int distance = kLanesPerRun / 2; distance > 0; distance /= 2)
    total += __shfl_xor_sync(kAllLanes, total, distance, kLanesPerRun);
  if (lane != 0 || first >= n) return;
  if (!(total < 0x1p46)) {
    atomicAdd(&words->refused, 1ULL);
    return;
  }
  unsigned long long low = 0;
  unsigned long long high = 0;
  to_words(total, low, high);
  add_words(words, low, high);
}

}  // namespace

void adamw_step(cudaStream_t stream, const AdamwState& state, std::int64_t n, const AdamwNumbers& numbers) {
  const LaunchShape shape{blocks_for(n, kThreads), kThreads};
  if (state.weight_is_bf16) {
    launch(stream, "adamw_step", shape, adamw_step_thread_per_element<BFloat16>, state,
           static_cast<BFloat16*>(state.weight), n, numbers);
  } else {
    launch(stream, "adamw_step", shape, adamw_step_thread_per_element<float>, state,
           static_cast<float*>(state.weight), n, numbers);
  }
}

void add_squares(cudaStream_t stream, SquareWords* words, const std::int64_t* sums, std::int64_t n,
                 double factor) {
  launch(stream, "sum_of_squares", {blocks_for(n, kRunsPerBlock * kNormBlock), kThreads},
         add_squares_eight_threads_per_run, words, sums, n, factor);
}

}  // namespace switchyard::kernels::cuda
