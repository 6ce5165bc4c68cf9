#include "kernels/cuda/products/grouped/forms.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/ops/gradient_grid.h"
#include "kernels/runtime/error.h"

namespace switchyard::kernels::cuda {

GroupedForm grouped_form(int capability, DType dtype, std::int64_t in, std::int64_t out) {
  if (dtype == DType::f32) return GroupedForm::plain;
  if (capability < 80) {
    throw DeviceError(
        fmt::format("bf16 products need a GPU of compute capability 8.0 or later; this one has {}.{}. Set "
                    "train.precision: fp32, or run.device: cpu",
                    capability / 10, capability % 10));
  }
  constexpr std::int64_t kElementsOf16Bytes = 8;
  const bool whole = in > 0 && out > 0 && in % kElementsOf16Bytes == 0 && out % kElementsOf16Bytes == 0;
  return capability == 90 && whole ? GroupedForm::warpgroup : GroupedForm::warp;
}

int warpgroup_tile_columns(std::int64_t columns) {
  const auto unused = [columns](std::int64_t width) { return (width - columns % width) % width; };
  return unused(256) > unused(128) ? 128 : 256;
}

int gradient_splits(std::int64_t tiles, int processors, std::int64_t rows) {
  const std::int64_t wanted = tiles == 0 ? 1 : (2 * processors + tiles - 1) / tiles;
  const std::int64_t most = std::max<std::int64_t>(1, rows / kGradientBlockRows);
  return static_cast<int>(std::clamp<std::int64_t>(wanted, 1, most));
}

}  // namespace switchyard::kernels::cuda
