// multiply_dense_rows through cuBLASLt. No workspace and no split of the depth, so that one thread block
// forms each element.
#include <cublasLt.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "kernels/cuda/products/dense/rows.h"
#include "kernels/cuda/runtime/errors.h"
#include "kernels/runtime/error.h"

namespace switchyard::kernels::cuda {

namespace {

void check_lt(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw DeviceError(fmt::format("cuda: cuBLASLt: {}: {}", what, cublasLtGetStatusName(status)));
}

template <typename Handle, auto kDestroy>
struct Owned {
  Owned() = default;
  ~Owned() {
    if (handle != nullptr) kDestroy(handle);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Handle handle = nullptr;
};
using Library = Owned<cublasLtHandle_t, cublasLtDestroy>;
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

void make_layout(Layout& layout, DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t leading) {
  check_lt(cublasLtMatrixLayoutCreate(&layout.handle, type_of(dtype), static_cast<std::uint64_t>(rows),
                                      static_cast<std::uint64_t>(columns), leading),
           "a matrix's layout");
}

// All that the library wants to know of a product but its memory.
struct Problem {
  explicit Problem(const DenseRows& product) {
    const ColumnMajor shape = column_major(product);
    check_lt(cublasLtMatmulDescCreate(&description.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a description");
    const cublasOperation_t operation = shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    check_lt(cublasLtMatmulDescSetAttribute(description.handle, CUBLASLT_MATMUL_DESC_TRANSA, &operation,
                                            sizeof operation),
             "a description");
    make_layout(a, product.operands, shape.transpose_a ? shape.k : shape.m,
                shape.transpose_a ? shape.m : shape.k, shape.lda);
    make_layout(b, product.operands, shape.k, shape.n, shape.ldb);
    make_layout(c, product.result_dtype, shape.m, shape.n, shape.ldc);
  }
  Description description;
  Layout a, b, c;
};

cublasLtHandle_t library() {
  // One for the process: it may be used by several threads, and belongs to the device that is current when it
  // is made. A process uses one device.
  static const std::unique_ptr<Library> kLibrary = [] {
    auto made = std::make_unique<Library>();
    check_lt(cublasLtCreate(&made->handle), "start");
    return made;
  }();
  return kLibrary->handle;
}

template <typename Value>
Value algorithm_value(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t which) {
  Value value{};
  std::size_t written = 0;
  check_lt(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, which, &value, sizeof value, &written),
           "an algorithm's attribute");
  return value;
}

bool serves(const DenseRows& product, const cublasLtMatmulAlgo_t& algorithm) {
  for (const std::int64_t N : kProbedRows) {
    DenseRows probe = product;
    probe.N = N;
    const Problem problem(probe);
    cublasLtMatmulHeuristicResult_t result{};
    if (cublasLtMatmulAlgoCheck(library(), problem.description.handle, problem.a.handle, problem.b.handle,
                                problem.c.handle, problem.c.handle, &algorithm,
                                &result) != CUBLAS_STATUS_SUCCESS ||
        result.workspaceSize > 0)
      return false;
  }
  return true;
}

void set_preference(const Preference& preference, cublasLtMatmulPreferenceAttributes_t which,
                    const auto& value) {
  check_lt(cublasLtMatmulPreferenceSetAttribute(preference.handle, which, &value, sizeof value),
           "a preference");
}

cublasLtMatmulAlgo_t find_algorithm(const DenseRows& product) {
  DenseRows asked = product;
  asked.N = kAskedRows;
  const Problem problem(asked);
  Preference preference;
  check_lt(cublasLtMatmulPreferenceCreate(&preference.handle), "a preference");
  set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::size_t{0});
  set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                 static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  const auto alignment = static_cast<std::uint32_t>(row_alignment(product));
  for (const auto which :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set_preference(preference, which, alignment);
  constexpr int kWanted = 32;
  std::array<cublasLtMatmulHeuristicResult_t, kWanted> results{};
  int found = 0;
  check_lt(cublasLtMatmulAlgoGetHeuristic(library(), problem.description.handle, problem.a.handle,
                                          problem.b.handle, problem.c.handle, problem.c.handle,
                                          preference.handle, kWanted, results.data(), &found),
           "the search for an algorithm");
  std::vector<Candidate> candidates;
  for (int i = 0; i < found; ++i) {
    const cublasLtMatmulAlgo_t& algorithm = results[static_cast<std::size_t>(i)].algo;
    const bool splits = algorithm_value<std::int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) > 1 ||
                        algorithm_value<std::uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) !=
                            CUBLASLT_REDUCTION_SCHEME_NONE;
    candidates.push_back({splits, !splits && serves(product, algorithm)});
  }
  const int chosen = choose_candidate(candidates);
  if (chosen < 0)
    throw DeviceError(fmt::format(
        "cuda: a dense product of depth {} and {} columns ({}) needs an algorithm that keeps rows "
        "independent; of "
        "{} that cuBLASLt proposes none does. Use widths that are multiples of 8, or another version of CUDA",
        product.depth, product.columns, dtype_name(product.operands), found));
  return results[static_cast<std::size_t>(chosen)].algo;
}

const cublasLtMatmulAlgo_t& algorithm_for(const DenseRows& product) {
  using Key = std::tuple<std::int64_t, std::int64_t, bool, DType, DType>;
  static std::mutex mutex;
  static std::map<Key, cublasLtMatmulAlgo_t> known;
  const std::scoped_lock lock(mutex);
  const Key key{product.columns, product.depth, product.weight_is_across, product.operands,
                product.result_dtype};
  auto at = known.find(key);
  if (at == known.end()) at = known.emplace(key, find_algorithm(product)).first;
  return at->second;
}

}  // namespace

void multiply_dense_rows(cudaStream_t stream, const DenseRows& product) {
  const Problem problem(product);
  const float alpha = 1;
  const float beta = product.add ? 1 : 0;
  check_lt(cublasLtMatmul(library(), problem.description.handle, &alpha, product.weight, problem.a.handle,
                          product.rows, problem.b.handle, &beta, product.result, problem.c.handle,
                          product.result, problem.c.handle, &algorithm_for(product), nullptr, 0, stream),
           "a dense product");
}

}  // namespace switchyard::kernels::cuda
