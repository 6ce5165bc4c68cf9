// Launches of the element-wise kernels. Contract: kernels/ops/elementwise.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

/// Memory of fp32 or bf16 elements.
struct Floats {
  void* data;
  DType dtype;
};
struct ConstFloats {
  const void* data;
  DType dtype;
};

void add(cudaStream_t stream, std::int64_t elements, Floats y, ConstFloats a, ConstFloats b);
void convert(cudaStream_t stream, std::int64_t elements, Floats y, ConstFloats x);
void row_gate_forward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations, void* y,
                      const void* x, const float* gate);
void row_gate_backward(cudaStream_t stream, std::int64_t N, std::int64_t C, DType activations, void* dx,
                       float* dgate, const void* dy, const void* x, const float* gate);
void clip_forward(cudaStream_t stream, std::int64_t elements, DType activations, void* y, const void* x,
                  float limit);
void clip_backward(cudaStream_t stream, std::int64_t elements, DType activations, void* dx, const void* dy,
                   const void* x, float limit);

}  // namespace switchyard::kernels::cuda
