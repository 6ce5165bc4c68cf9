// Statistics and capacity of the router on the GPU.
#include "kernels/cuda/routing/router_counts.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/routing/router_rows.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarp;

__device__ __forceinline__ void count_one(std::int64_t* counter) {
  atomicAdd(reinterpret_cast<unsigned long long*>(counter), 1ULL);
}

__global__ void __launch_bounds__(kThreads)
    router_load_thread_per_slot(std::int64_t* load, const std::int32_t* expert, std::int64_t slots) {
  const std::int64_t slot = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (slot < slots && expert[slot] >= 0) count_one(load + expert[slot]);
}

// A thread adds one expert over the rows of one run, in row order; neighbours read neighbours.
__global__ void __launch_bounds__(kThreads)
    router_probability_sum_thread_per_expert(double* sums, const float* probability, std::int64_t run,
                                             std::int64_t E) {
  const std::int64_t e = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (e >= E) return;
  const std::int64_t s = blockIdx.y;
  double total = 0;
  for (std::int64_t n = s * run; n < (s + 1) * run; ++n) total += static_cast<double>(probability[n * E + e]);
  sums[s * E + e] = total;
}

// The row's entropy, and a count for each of its K largest probabilities.
__global__ void __launch_bounds__(kThreads)
    router_rows_warp_per_row(double* entropies, std::int64_t* top_count, const float* probability,
                             std::int64_t N, std::int64_t E, std::int64_t K, std::int64_t run) {
  const std::int64_t n = std::int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (n >= N) return;
  const float* const row = probability + n * E;
  double entropy = 0;
  for_experts(E, [&](std::int64_t e) {
    const auto p = static_cast<double>(row[e]);
    if (p != 0) entropy -= p * log(p);
  });
  entropy = warp_sum(entropy);
  if (threadIdx.x % kWarp == 0) entropies[n] = entropy;
  Candidate previous{0.0F, -1};
  for (std::int64_t k = 0; k < K; ++k) {
    previous = warp_first(
        next_after(previous, row, threadIdx.x % kWarp, E, kWarp, [](std::int64_t) { return true; }));
    if (threadIdx.x % kWarp == 0) count_one(top_count + n / run * E + previous.id);
  }
}

// One block; thread t adds the rows t, t + 256, ... in order, then the threads are added as a tree.
__global__ void __launch_bounds__(kThreads)
    router_row_sums_one_block(double* row_sums, const double* entropies, const float* lse, std::int64_t N) {
  __shared__ double entropy_room[kThreads / kWarp];
  __shared__ double square_room[kThreads / kWarp];
  double entropy = 0;
  double squares = 0;
  for (std::int64_t n = threadIdx.x; n < N; n += kThreads) {
    const auto value = static_cast<double>(lse[n]);
    entropy += entropies[n];
    squares += value * value;
  }
  entropy = block_sum<kThreads>(entropy, entropy_room);
  squares = block_sum<kThreads>(squares, square_room);
  if (threadIdx.x != 0) return;
  row_sums[0] = entropy;
  row_sums[1] = squares;
}

// A number that sorts like the weight; NaN sorts below everything, -0 equals 0.
__device__ __forceinline__ unsigned sortable(float weight) {
  if (weight != weight) return 0;
  const unsigned bits = __float_as_uint(weight + 0.0F);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

__device__ __forceinline__ std::int64_t block_count(std::int64_t own, std::int64_t* room) {
  const std::int64_t total = block_sum<kThreads>(own, room);
  __syncthreads();  // room is used again
  return total;
}

// How many of the slots have a key of at least `least`; the same in all threads.
__device__ __forceinline__ std::int64_t count_from(const float* weight, const std::int32_t* slots,
                                                   std::int64_t count, unsigned least, std::int64_t* room) {
  std::int64_t found = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads)
    found += sortable(weight[slots[i]]) >= least ? 1 : 0;
  return block_count(found, room);
}

// A block per expert. Its slots stand in token order.
__global__ void __launch_bounds__(kThreads)
    router_drop_block_per_expert(std::int32_t* expert, const float* weight, const std::int32_t* counts,
                                 const std::int32_t* slot_of_row, std::int64_t capacity,
                                 bool by_probability) {
  __shared__ std::int64_t room[kThreads / kWarp];
  std::int64_t first = 0;
  for (unsigned e = threadIdx.x; e < blockIdx.x; e += kThreads) first += counts[e];
  first = block_count(first, room);
  const std::int64_t count = counts[blockIdx.x];
  if (count <= capacity) return;
  const std::int32_t* const slots = slot_of_row + first;
  if (!by_probability || capacity == 0) {
    for (std::int64_t i = capacity + threadIdx.x; i < count; i += kThreads) expert[slots[i]] = -1;
    return;
  }
  unsigned least = 0;  // the capacity-th largest key, found bit by bit
  for (unsigned bit = 0x80000000U; bit != 0; bit >>= 1)
    if (count_from(weight, slots, count, least | bit, room) >= capacity) least |= bit;
  const std::int64_t above = least == 0xffffffffU ? 0 : count_from(weight, slots, count, least + 1, room);
  std::int64_t equals_kept = capacity - above;
  // Of the equal ones the first stay: rounds of one slot per thread, with the equals before it counted.
  for (std::int64_t begin = 0; begin < count; begin += kThreads) {
    const std::int64_t i = begin + threadIdx.x;
    const unsigned key = i < count ? sortable(weight[slots[i]]) : 0U;
    const bool equal = i < count && key == least;
    const unsigned equals = __ballot_sync(kAllLanes, equal ? 1 : 0);
    const unsigned lane = threadIdx.x % kWarp;
    if (lane == 0) room[threadIdx.x / kWarp] = __popc(equals);
    __syncthreads();
    std::int64_t before = __popc(equals & ((1U << lane) - 1U));
    std::int64_t in_round = 0;
    for (unsigned warp = 0; warp < kThreads / kWarp; ++warp) {
      if (warp < threadIdx.x / kWarp) before += room[warp];
      in_round += room[warp];
    }
    if (i < count && key <= least && !(equal && before < equals_kept)) expert[slots[i]] = -1;
    equals_kept -= in_round;
    __syncthreads();
  }
}

}  // namespace

void router_statistics(cudaStream_t stream, const RouterStatistics& statistics, double* entropies,
                       const float* probability, const float* lse, const std::int32_t* expert, std::int64_t N,
                       std::int64_t E, std::int64_t K, std::int64_t S) {
  launch(stream, "router_load", {blocks_for(N * K, kThreads), kThreads}, router_load_thread_per_slot,
         statistics.load, expert, N * K);
  launch(stream, "router_probability_sum", {{blocks_for(E, kThreads), static_cast<unsigned>(S)}, kThreads},
         router_probability_sum_thread_per_expert, statistics.probability_sum, probability, N / S, E);
  launch(stream, "router_rows", {blocks_for(N, kRowsPerBlock), kThreads}, router_rows_warp_per_row, entropies,
         statistics.top_count, probability, N, E, K, N / S);
  launch(stream, "router_row_sums", {1, kThreads}, router_row_sums_one_block, statistics.row_sums, entropies,
         lse, N);
}

void router_drop(cudaStream_t stream, std::int32_t* expert, const float* weight, const std::int32_t* count,
                 const std::int32_t* slot_of_row, std::int64_t E, std::int64_t capacity,
                 bool by_probability) {
  launch(stream, "router_drop", {static_cast<unsigned>(E), kThreads}, router_drop_block_per_expert, expert,
         weight, count, slot_of_row, capacity, by_probability);
}

}  // namespace switchyard::kernels::cuda
