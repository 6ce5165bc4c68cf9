// swiglu on the GPU: a thread per eight columns of a row.
#include "kernels/cuda/rows/swiglu.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/types.h"
#include "kernels/cuda/device/vectors.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;

// The row and its first column of this thread's pack; false behind the last.
__device__ __forceinline__ bool find_pack(std::int64_t M, std::int64_t F, std::int64_t& row,
                                          std::int64_t& f) {
  const std::int64_t packs = (F + kPack - 1) / kPack;
  const std::int64_t pack = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (pack >= M * packs) return false;
  row = pack / packs;
  f = pack % packs * kPack;
  return true;
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    swiglu_forward_pack_per_thread(A* h, const A* gate_up, std::int64_t M, std::int64_t F) {
  std::int64_t row = 0;
  std::int64_t f = 0;
  if (!find_pack(M, F, row, f)) return;
  const bool wide = is_wide(h, F) && is_wide(gate_up, F);
  const std::int64_t n = pack_size(F, f);
  Pack z = load(gate_up + row * 2 * F + f, n, wide);
  const Pack up = load(gate_up + row * 2 * F + F + f, n, wide);
#pragma unroll
  for (int i = 0; i < kPack; ++i) z.v[i] = z.v[i] * sigmoid(z.v[i]) * up.v[i];
  store(h + row * F + f, z, n, wide);
}

// dgate_up may be the memory of gate_up: a thread reads what it will write before it writes.
template <typename A>
__global__ void __launch_bounds__(kThreads)
    swiglu_backward_pack_per_thread(A* dgate_up, const A* dh, const A* gate_up, std::int64_t M,
                                    std::int64_t F) {
  std::int64_t row = 0;
  std::int64_t f = 0;
  if (!find_pack(M, F, row, f)) return;
  const bool wide = is_wide(dh, F) && is_wide(gate_up, F) && is_wide(dgate_up, F);
  const std::int64_t n = pack_size(F, f);
  Pack gate = load(gate_up + row * 2 * F + f, n, wide);
  Pack up = load(gate_up + row * 2 * F + F + f, n, wide);
  const Pack d = load(dh + row * F + f, n, wide);
#pragma unroll
  for (int i = 0; i < kPack; ++i) {
    const float z = gate.v[i];
    const float s = sigmoid(z);
    const float slope = s * fmaf(z, 1.0F - s, 1.0F);  // of silu
    gate.v[i] = d.v[i] * up.v[i] * slope;
    up.v[i] = d.v[i] * z * s;
  }
  store(dgate_up + row * 2 * F + f, gate, n, wide);
  store(dgate_up + row * 2 * F + F + f, up, n, wide);
}

LaunchShape packs(std::int64_t M, std::int64_t F) {
  return {blocks_for(M * ((F + kPack - 1) / kPack), kThreads), kThreads};
}

}  // namespace

void swiglu_forward(cudaStream_t stream, std::int64_t M, std::int64_t F, DType activations, void* h,
                    const void* gate_up) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "swiglu_forward", packs(M, F), swiglu_forward_pack_per_thread<A>, static_cast<A*>(h),
           static_cast<const A*>(gate_up), M, F);
  });
}

void swiglu_backward(cudaStream_t stream, std::int64_t M, std::int64_t F, DType activations, void* dgate_up,
                     const void* dh, const void* gate_up) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "swiglu_backward", packs(M, F), swiglu_backward_pack_per_thread<A>,
           static_cast<A*>(dgate_up), static_cast<const A*>(dh), static_cast<const A*>(gate_up), M, F);
  });
}

}  // namespace switchyard::kernels::cuda
