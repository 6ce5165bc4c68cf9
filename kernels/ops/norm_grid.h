// The numbers of the exact norm of gradients (adamw.h), also for device code.
#pragma once

#include <cstdint>

namespace switchyard::kernels {

/// Sums of squares are taken over runs of kNormBlock elements in one fixed order in double, rounded once onto
/// a grid of 2^-kNormGridExponent and added as 128-bit integers: any split of a parameter at multiples of
/// kNormBlock, on any ranks, gives the same norm.
inline constexpr std::int64_t kNormBlock = 1024;
inline constexpr int kNormGridExponent = 80;

}  // namespace switchyard::kernels
