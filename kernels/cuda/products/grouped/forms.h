// Which kernel serves a product: pure functions of the chip, the dtype and the sizes of the weight, never of
// the number of rows, so that a row's bits do not depend on its company. Host code without CUDA.
#pragma once

#include <cstdint>

#include "kernels/runtime/dtype.h"

namespace switchyard::kernels::cuda {

enum class GroupedForm : std::uint8_t { warpgroup, warp, plain };

/// `capability` is 10 * major + minor of the device. bf16 needs 80 at least: throws DeviceError below. The
/// warpgroup form runs on 90 alone (its instructions are of that chip only) and wants rows of a multiple of
/// 16 bytes on both sides.
GroupedForm grouped_form(int capability, DType dtype, std::int64_t in, std::int64_t out);

/// Width of the warpgroup form's tiles of the result: 256, or 128 where that leaves fewer columns unused.
int warpgroup_tile_columns(std::int64_t columns);

/// Into how many parts the blocks of an expert are dealt, so that `tiles` tiles keep `processors` busy; not
/// more than there can be blocks in `rows` rows. The sums are exact, so this changes no bit.
int gradient_splits(std::int64_t tiles, int processors, std::int64_t rows);

}  // namespace switchyard::kernels::cuda
