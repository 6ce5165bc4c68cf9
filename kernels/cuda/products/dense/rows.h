// Dense products of rows: what is asked of the library, in our terms and in its.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <span>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

/// result (N, columns) = or += rows (N, depth) * weight, which is (columns, depth) and taken transposed, or
/// (depth, columns) if weight_is_across. All sizes above 0; pointers of the device.
struct DenseRows {
  void* result;
  const void* rows;
  const void* weight;
  std::int64_t N;
  std::int64_t depth;
  std::int64_t columns;
  bool weight_is_across;
  bool add;
  DType operands;      ///< of rows and weight: bf16, or f32 (without TF32)
  DType result_dtype;  ///< f32 or bf16
};

/// The same product for a library that counts matrices by columns: C (m, n) = op(A) * B, leading dimensions
/// in elements; A is the weight, B the rows, C the result.
struct ColumnMajor {
  std::int64_t m, n, k;
  bool transpose_a;
  std::int64_t lda, ldb, ldc;
};
ColumnMajor column_major(const DenseRows& product);

/// Greatest power of two, at most 16, that divides the bytes of a row of each of the three matrices: what the
/// addresses of any run of rows are multiples of.
int row_alignment(const DenseRows& product);

/// What is known of an algorithm that the library proposes.
struct Candidate {
  bool splits_depth;     ///< several thread blocks add parts of one element
  bool serves_all_rows;  ///< accepts every number of rows in kProbedRows
};
inline constexpr std::int64_t kProbedRows[] = {1, 7, 64, 1000, 4096, 65536};
/// The number of rows at which the library is asked: the algorithm must not depend on that of a call, or a
/// row's bits would depend on its company.
inline constexpr std::int64_t kAskedRows = 8192;

/// Index of the first candidate that keeps rows independent; -1 if there is none.
int choose_candidate(std::span<const Candidate> candidates);

/// Through cuBLASLt. The algorithm is chosen once for each (columns, depth, direction, dtypes) and kept.
/// Throws DeviceError when the library has none that keeps rows independent.
void multiply_dense_rows(cudaStream_t stream, const DenseRows& product);

}  // namespace switchyard::kernels::cuda
