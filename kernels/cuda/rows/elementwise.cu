// elementwise on the GPU: a thread per eight elements, or a warp per row where a row has a sum.
#include "kernels/cuda/rows/elementwise.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/reduce.h"
#include "kernels/cuda/device/types.h"
#include "kernels/cuda/device/vectors.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarp;

__device__ __forceinline__ std::int64_t first_element() {
  return (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kPack;
}

// Whether the pack at i, i + kPack <= elements, is a run of whole 16-byte words.
template <typename T>
__device__ __forceinline__ bool whole(const T* p, std::int64_t i, std::int64_t elements) {
  return i + kPack <= elements && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

template <typename Y, typename A, typename B>
__global__ void __launch_bounds__(kThreads)
    add_pack_per_thread(Y* y, const A* a, const B* b, std::int64_t elements) {
  const std::int64_t i = first_element();
  if (i >= elements) return;
  const std::int64_t n = pack_size(elements, i);
  Pack sum = load(a + i, n, whole(a, i, elements));
  const Pack other = load(b + i, n, whole(b, i, elements));
#pragma unroll
  for (int j = 0; j < kPack; ++j) sum.v[j] = sum.v[j] + other.v[j];
  store(y + i, sum, n, whole(y, i, elements));
}

template <typename Y, typename X>
__global__ void __launch_bounds__(kThreads) convert_pack_per_thread(Y* y, const X* x, std::int64_t elements) {
  const std::int64_t i = first_element();
  if (i >= elements) return;
  const std::int64_t n = pack_size(elements, i);
  store(y + i, load(x + i, n, whole(x, i, elements)), n, whole(y, i, elements));
}

// NaN passes both comparisons.
template <typename A>
__global__ void __launch_bounds__(kThreads)
    clip_forward_pack_per_thread(A* y, const A* x, std::int64_t elements, float limit) {
  const std::int64_t i = first_element();
  if (i >= elements) return;
  const float bound = to_float(from_float<A>(limit));
  const std::int64_t n = pack_size(elements, i);
  Pack pack = load(x + i, n, whole(x, i, elements));
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    const float v = pack.v[j];
    pack.v[j] = v > bound ? bound : v < -bound ? -bound : v;
  }
  store(y + i, pack, n, whole(y, i, elements));
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    clip_backward_pack_per_thread(A* dx, const A* dy, const A* x, std::int64_t elements, float limit) {
  const std::int64_t i = first_element();
  if (i >= elements) return;
  const float bound = to_float(from_float<A>(limit));
  const std::int64_t n = pack_size(elements, i);
  Pack d = load(dy + i, n, whole(dy, i, elements));
  const Pack value = load(x + i, n, whole(x, i, elements));
#pragma unroll
  for (int j = 0; j < kPack; ++j)
    if (value.v[j] > bound || value.v[j] < -bound) d.v[j] = 0.0F;
  store(dx + i, d, n, whole(dx, i, elements));
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    row_gate_forward_warp_per_row(A* y, const A* x, const float* gate, std::int64_t N, std::int64_t C) {
  const std::int64_t n = std::int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (n >= N) return;
  const bool wide = is_wide(x, C) && is_wide(y, C);
  const float factor = sigmoid(gate[n]);
  for (std::int64_t c = threadIdx.x % kWarp * kPack; c < C; c += kWarp * kPack) {
    Pack pack = load(x + n * C + c, pack_size(C, c), wide);
#pragma unroll
    for (int j = 0; j < kPack; ++j) pack.v[j] = pack.v[j] * factor;
    store(y + n * C + c, pack, pack_size(C, c), wide);
  }
}

template <typename A>
__global__ void __launch_bounds__(kThreads)
    row_gate_backward_warp_per_row(A* dx, float* dgate, const A* dy, const A* x, const float* gate,
                                   std::int64_t N, std::int64_t C) {
  const std::int64_t n = std::int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
  if (n >= N) return;
  const bool wide = is_wide(x, C) && is_wide(dx, C) && is_wide(dy, C);
  const float factor = sigmoid(gate[n]);
  float dot = 0;
  for (std::int64_t c = threadIdx.x % kWarp * kPack; c < C; c += kWarp * kPack) {
    Pack d = load(dy + n * C + c, pack_size(C, c), wide);
    const Pack value = load(x + n * C + c, pack_size(C, c), wide);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      dot = fmaf(d.v[j], value.v[j], dot);
      d.v[j] = d.v[j] * factor;
    }
    store(dx + n * C + c, d, pack_size(C, c), wide);
  }
  dot = warp_sum(dot);
  if (threadIdx.x % kWarp == 0) dgate[n] = dot * factor * (1.0F - factor);
}

LaunchShape packs(std::int64_t elements) {
  return {blocks_for(elements, kThreads * kPack), kThreads};
}
LaunchShape rows(std::int64_t N) {
  return {blocks_for(N, kRowsPerBlock), kThreads};
}

}  // namespace

void add(cudaStream_t stream, std::int64_t elements, Floats y, ConstFloats a, ConstFloats b) {
  with_float_type(y.dtype, [&](auto y_tag) {
    with_float_type(a.dtype, [&](auto a_tag) {
      with_float_type(b.dtype, [&](auto b_tag) {
        using Y = typename decltype(y_tag)::Type;
        using A = typename decltype(a_tag)::Type;
        using B = typename decltype(b_tag)::Type;
        launch(stream, "add", packs(elements), add_pack_per_thread<Y, A, B>, static_cast<Y*>(y.data),
               static_cast<const A*>(a.data), static_cast<const B*>(b.data), elements);
      });
    });
  });
}

void convert(cudaStream_t stream, std::int64_t elements, Floats y, ConstFloats x) {
  with_float_type(y.dtype, [&](auto y_tag) {
    with_float_type(x.dtype, [&](auto x_tag) {
      using Y = typename decltype(y_tag)::Type;
      using X = typename decltype(x_tag)::Type;
      launch(stream, "convert", packs(elements), convert_pack_per_thread<Y, X>, static_cast<Y*>(y.data),
             static_cast<const X*>(x.data), elements);
    });
  });
}

void row_gate_forward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations, void* y,
                      const void* x, const float* gate) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "row_gate_forward", rows(N), row_gate_forward_warp_per_row<A>, static_cast<A*>(y),
           static_cast<const A*>(x), gate, N, C);
  });
}

void row_gate_backward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations, void* dx,
                       float* dgate, const void* dy, const void* x, const float* gate) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "row_gate_backward", rows(N), row_gate_backward_warp_per_row<A>, static_cast<A*>(dx),
           dgate, static_cast<const A*>(dy), static_cast<const A*>(x), gate, N, C);
  });
}

void clip_forward(cudaStream_t stream, std::int64_t elements, DType activations, void* y, const void* x,
                  float limit) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "clip_forward", packs(elements), clip_forward_pack_per_thread<A>, static_cast<A*>(y),
           static_cast<const A*>(x), elements, limit);
  });
}

void clip_backward(cudaStream_t stream, std::int64_t elements, DType activations, void* dx, const void* dy,
                   const void* x, float limit) {
  with_float_type(activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, "clip_backward", packs(elements), clip_backward_pack_per_thread<A>, static_cast<A*>(dx),
           static_cast<const A*>(dy), static_cast<const A*>(x), elements, limit);
  });
}

}  // namespace switchyard::kernels::cuda
