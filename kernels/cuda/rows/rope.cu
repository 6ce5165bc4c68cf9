// rope on the GPU: a thread per eight pairs of one head.
#include "kernels/cuda/rows/rope.h"

#include "kernels/cuda/device/launch.h"
#include "kernels/cuda/device/types.h"
#include "kernels/cuda/device/vectors.h"

namespace switchyard::kernels::cuda {

namespace {

constexpr int kThreads = 256;

template <typename A>
__global__ void __launch_bounds__(kThreads)
    rope_pack_per_thread(A* x, const float* cosine, const float* sine, RopeShape shape, float sign) {
  const std::int64_t half = shape.D / 2;
  const std::int64_t packs = (half + kPack - 1) / kPack;
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= shape.tokens * shape.heads * packs) return;
  const std::int64_t i = at % packs * kPack;
  const std::int64_t head = at / packs;
  const std::int64_t position = shape.first_position + head / shape.heads % shape.T;
  const bool wide = is_wide(x, half) && is_wide(cosine, half) && is_wide(sine, half);
  const std::int64_t n = pack_size(half, i);
  A* const row = x + head * shape.D + i;
  Pack low = load(row, n, wide);
  Pack high = load(row + half, n, wide);
  const Pack c = load(cosine + position * half + i, n, wide);
  const Pack s = load(sine + position * half + i, n, wide);
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    const float turned = s.v[j] * sign;
    const float a = low.v[j];
    const float b = high.v[j];
    low.v[j] = a * c.v[j] - b * turned;
    high.v[j] = b * c.v[j] + a * turned;
  }
  store(row, low, n, wide);
  store(row + half, high, n, wide);
}

}  // namespace

void rope(cudaStream_t stream, const RopeShape& shape, void* x, const float* cosine, const float* sine,
          float sign) {
  const std::int64_t packs = shape.tokens * shape.heads * ((shape.D / 2 + kPack - 1) / kPack);
  with_float_type(shape.activations, [&](auto tag) {
    using A = typename decltype(tag)::Type;
    launch(stream, sign > 0 ? "rope_forward" : "rope_backward", {blocks_for(packs, kThreads), kThreads},
           rope_pack_per_thread<A>, static_cast<A*>(x), cosine, sine, shape, sign);
  });
}

}  // namespace switchyard::kernels::cuda
