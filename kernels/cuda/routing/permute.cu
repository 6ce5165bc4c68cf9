// Moves of rows by a sort on the GPU: a thread per eight columns, or a warp per slot where there is a sum
// over columns.
#include "kernels/cuda/routing/permute.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/types.h"
#include "kernels/cuda/device/vectors.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kSlotsPerBlock = kThreads / kWarp;

template <typename A>
__global__ void __launch_bounds__(kThreads)
    gather_rows_forward_pack_per_thread(A* rows, const A* x, const std::int32_t* slot_of_row, std::int64_t R,
                                        std::int64_t K, std::int64_t C) {
  const std::int64_t packs = (C + kPack - 1) / kPack;
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= R * packs) return;
  const std::int64_t row = at / packs;
  const std::int64_t c = at % packs * kPack;
  const bool wide = is_wide(rows, C) && is_wide(x, C);
  const std::int64_t n = pack_size(C, c);
  store(rows + row * C + c, load(x + slot_of_row[row] / K * C + c, n, wide), n, wide);
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    combine_rows_forward_pack_per_thread(A* y, const A* rows, const float* weight,
                                         const std::int32_t* row_of_slot, const A* base, std::int64_t N,
                                         std::int64_t K, std::int64_t C) {
  const std::int64_t packs = (C + kPack - 1) / kPack;
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= N * packs) return;
  const std::int64_t token = at / packs;
  const std::int64_t c = at % packs * kPack;
  const bool wide = is_wide(y, C) && is_wide(rows, C) && (base == nullptr || is_wide(base, C));
  const std::int64_t n = pack_size(C, c);
  Pack total{};
  if (base != nullptr) total = load(base + token * C + c, n, wide);
  for (std::int64_t slot = token * K; slot < (token + 1) * K; ++slot) {
    const std::int64_t row = row_of_slot[slot];
    if (row < 0) continue;
    const Pack one = load(rows + row * C + c, n, wide);
    if (weight == nullptr) {
#pragma unroll
      for (int i = 0; i < kPack; ++i) total.v[i] = total.v[i] + one.v[i];
    } else {
      const float factor = weight[slot];
#pragma unroll
      for (int i = 0; i < kPack; ++i) total.v[i] = fmaf(factor, one.v[i], total.v[i]);
    }
  }
  store(y + token * C + c, total, n, wide);
}

// drows may be the memory of rows: a thread reads what it will write before it writes.
template <typename A>
__global__ void __launch_bounds__(kThreads)
    combine_rows_backward_warp_per_slot(A* drows, float* dweight, const A* dy, const A* rows,
                                        const float* weight, const std::int32_t* row_of_slot,
                                        std::int64_t slots, std::int64_t K, std::int64_t C) {
  const std::int64_t slot = std::int64_t{blockIdx.x} * kSlotsPerBlock + threadIdx.x / kWarp;
  if (slot >= slots) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t row = row_of_slot[slot];
  if (row < 0) {
    if (lane == 0) dweight[slot] = 0.0F;
    return;
  }
  const bool wide = is_wide(drows, C) && is_wide(rows, C) && is_wide(dy, C);
  const float factor = weight[slot];
  const std::int64_t token = slot / K;
  float dot = 0;
  for (std::int64_t c = lane * kPack; c < C; c += kWarp * kPack) {
    const std::int64_t n = pack_size(C, c);
    Pack d = load(dy + token * C + c, n, wide);
    const Pack value = load(rows + row * C + c, n, wide);
#pragma unroll
    for (int i = 0; i < kPack; ++i) {
      dot = fmaf(value.v[i], d.v[i], dot);
      d.v[i] = factor * d.v[i];
    }
    store(drows + row * C + c, d, n, wide);
  }
  dot = warp_sum(dot);
  if (lane == 0) dweight[slot] = dot;
}

LaunchShape packs(std::int64_t rows, std::int64_t C) {
  return {blocks_for(rows * ((C + kPack - 1) / kPack), kThreads), kThreads};
}

}  // namespace

void gather_rows_forward(cudaStream_t stream, const PermuteShape& shape, std::int64_t R, void* rows,
                         const void* x, const std::int32_t* slot_of_row) {
  with_float_type(shape.activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "gather_rows_forward", packs(R, shape.C), gather_rows_forward_pack_per_thread<A>,
           static_cast<A*>(rows), static_cast<const A*>(x), slot_of_row, R, shape.K, shape.C);
  });
}

void combine_rows_forward(cudaStream_t stream, const PermuteShape& shape, void* y, const void* rows,
                          const float* weight, const std::int32_t* row_of_slot, const void* base) {
  with_float_type(shape.activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, weight == nullptr ? "gather_rows_backward" : "combine_rows_forward",
           packs(shape.N, shape.C), combine_rows_forward_pack_per_thread<A>, static_cast<A*>(y),
           static_cast<const A*>(rows), weight, row_of_slot, static_cast<const A*>(base), shape.N, shape.K,
           shape.C);
  });
}

void combine_rows_backward(cudaStream_t stream, const PermuteShape& shape, void* drows, float* dweight,
                           const void* dy, const void* rows, const float* weight,
                           const std::int32_t* row_of_slot) {
  with_float_type(shape.activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "combine_rows_backward", {blocks_for(shape.N * shape.K, kSlotsPerBlock), kThreads},
           combine_rows_backward_warp_per_slot<A>, static_cast<A*>(drows), dweight, static_cast<const A*>(dy),
           static_cast<const A*>(rows), weight, row_of_slot, shape.N * shape.K, shape.K, shape.C);
  });
}

}  // namespace switchyard::kernels::cuda
