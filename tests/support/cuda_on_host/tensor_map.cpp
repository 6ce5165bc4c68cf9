// Stands in for kernels/cuda/instructions/tensor_map.cpp: the driver's rules for tensor maps.
#include <fmt/format.h>

#include "kernels/cuda/instructions/tensor_map.h"
#include "kernels/runtime/error.h"

namespace switchyard::kernels::cuda {

TensorMap make_tensor_map(const void* base, std::int64_t matrices, std::int64_t rows, std::int64_t columns,
                          int box_rows) {
  if (reinterpret_cast<std::uintptr_t>(base) % 16 != 0 || columns % 8 != 0 || matrices < 1 || rows < 1 ||
      columns < 1 || box_rows < 1 || box_rows > 256)
    throw DeviceError(fmt::format("cuda: tensor map of {} x {} x {} in boxes of {} rows refused", matrices,
                                  rows, columns, box_rows));
  return {static_cast<const std::uint16_t*>(base), {matrices, rows, columns}, box_rows};
}

}  // namespace switchyard::kernels::cuda
