#include "kernels/cuda/instructions/tensor_map.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include <array>

#include "kernels/cuda/instructions/descriptor.h"
#include "kernels/cuda/runtime/errors.h"
#include "kernels/runtime/error.h"

namespace switchyard::kernels::cuda {

namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// Asked of the driver at run time: the program links without libcuda and starts on machines that have none.
Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  constexpr unsigned kSince = 12000;
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kSince, cudaEnableDefault,
                                         &found),
        "asking the driver for tensor maps");
  if (found != cudaDriverEntryPointSuccess || function == nullptr)
    throw DeviceError("cuda: the driver must know tensor maps (CUDA 12); update it, or set run.device: cpu");
  return reinterpret_cast<Encode>(function);
}

}  // namespace

TensorMap make_tensor_map(const void* base, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                          int box_rows) {
  static const Encode encode = find_encode();
  constexpr std::int64_t kElementBytes = 2;
  const auto word = [](std::int64_t value) { return static_cast<cuuint64_t>(value); };
  const std::array<cuuint64_t, 3> extents{word(columns), word(rows), word(matrices)};
  const std::array<cuuint64_t, 2> strides{word(columns * kElementBytes),
                                          word(rows * columns * kElementBytes)};
  const std::array<cuuint32_t, 3> box{kChunkElements, static_cast<cuuint32_t>(box_rows), 1};
  const std::array<cuuint32_t, 3> every{1, 1, 1};
  TensorMap map{};
  const CUresult result = encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void*>(base),
                                 extents.data(), strides.data(), box.data(), every.data(),
                                 CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    throw DeviceError(
        fmt::format("cuda: the driver refuses a tensor map of {} x {} x {} bf16 at {} in boxes of {} "
                    "rows (code {})",
                    matrices, rows, columns, base, box_rows, static_cast<int>(result)));
  return map;
}

}  // namespace switchyard::kernels::cuda
