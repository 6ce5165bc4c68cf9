// Stands in for kernels/cuda/products/dense/cublas.cpp: the product as the library would be asked for it,
// element by element, one chain of fused multiply-adds over the depth.
#include <cmath>

#include "kernels/cuda/products/dense/rows.h"
#include "tests/support/cuda_on_host/streams.h"

namespace switchyard::kernels::cuda {

namespace {
float read(const void* data, DType dtype, std::int64_t at) {
  return dtype == DType::bf16 ? static_cast<float>(static_cast<const BFloat16*>(data)[at])
                              : static_cast<const float*>(data)[at];
}
void multiply(const DenseRows& product) {
  const ColumnMajor shape = column_major(product);
  for (std::int64_t column = 0; column < shape.n; ++column) {
    for (std::int64_t row = 0; row < shape.m; ++row) {
      float sum = 0;
      for (std::int64_t k = 0; k < shape.k; ++k)
        sum = std::fma(read(product.weight, product.operands,
                            shape.transpose_a ? row * shape.lda + k : k * shape.lda + row),
                       read(product.rows, product.operands, column * shape.ldb + k), sum);
      const std::int64_t at = column * shape.ldc + row;
      if (product.add) sum += read(product.result, product.result_dtype, at);
      if (product.result_dtype == DType::bf16) {
        static_cast<BFloat16*>(product.result)[at] = BFloat16(sum);
      } else {
        static_cast<float*>(product.result)[at] = sum;
      }
    }
  }
}
}  // namespace

void multiply_dense_rows(cudaStream_t stream, const DenseRows& product) {
  cuda_on_host::enqueue(stream, [product] { multiply(product); });
}

}  // namespace switchyard::kernels::cuda
