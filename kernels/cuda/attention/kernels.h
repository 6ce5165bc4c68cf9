// Attention on the GPU in two forms. Contract: kernels/ops/attention.h. All pointers are of the device.
//
// A query meets the keys in tiles counted from key 0, in order, each tile's keys in order; a key's gradient
// meets the heads of its group in order, of each the queries in tiles counted from query 0. What a row does
// not see of a tile adds exactly nothing to it. So a query's bits depend on its position alone, and nothing
// is added by whoever comes first. (In the warp form a NaN or infinity among the values reaches all queries
// whose last tile it lies in, seen or not: 0 times NaN is NaN.)
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

struct AttentionShape {
  std::int32_t B, T, S, H, G, D;
  float scale;
  std::int32_t window;  ///< 0 = no limit
};

/// (B, T, H, D) for queries, (B, S, G, D) for keys and values; lse and delta (B, H, T) f32.
struct AttentionForward {
  void* y;
  float* lse;
  const void* q;
  const void* k;
  const void* v;
};
struct AttentionBackward {
  void* dq;
  void* dk;
  void* dv;
  float* delta;  ///< scratch: the sum of dy * y of each query
  const void* dy;
  const void* q;
  const void* k;
  const void* v;
  const void* y;
  const float* lse;
};

/// Widest head of each form.
inline constexpr std::int32_t kWarpHead = 128;
inline constexpr std::int32_t kPlainHead = 256;

enum class AttentionForm : std::uint8_t { warp, plain };
/// bf16 heads of a multiple of 8 up to kWarpHead by the matrix instruction of a warp; others without.
constexpr AttentionForm attention_form(DType dtype, std::int64_t D) {
  return dtype == DType::bf16 && D % 8 == 0 && D <= kWarpHead ? AttentionForm::warp : AttentionForm::plain;
}

void attention_forward_warp(cudaStream_t stream, const AttentionShape& shape,
                            const AttentionForward& tensors);
void attention_backward_warp(cudaStream_t stream, const AttentionShape& shape,
                             const AttentionBackward& tensors);
void attention_forward_plain(cudaStream_t stream, const AttentionShape& shape,
                             const AttentionForward& tensors, DType dtype);
void attention_backward_plain(cudaStream_t stream, const AttentionShape& shape,
                              const AttentionBackward& tensors, DType dtype);
/// Fills tensors.delta.
void attention_delta(cudaStream_t stream, const AttentionShape& shape, const AttentionBackward& tensors,
                     DType dtype);

}  // namespace switchyard::kernels::cuda
