// The numbers of the exact gradient sums (gradient_sum.h), also for device code.
#pragma once

#include <cstdint>

namespace switchyard::kernels {

inline constexpr int kGridExponent = 44;
inline constexpr double kGridUnit = 0x1p-44;
inline constexpr std::int64_t kGradientBlockRows = 256;

}  // namespace switchyard::kernels
