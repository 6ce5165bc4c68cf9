// Counter-based random numbers: a value depends on (seed, stream, index) and on nothing else, so every rank
// can make any part of any random tensor. Philox-4x32-10 of Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3" (2011).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "kernels/runtime/tensor.h"

namespace switchyard::kernels {

/// Names one sequence of random numbers. Build it from the seed and the purpose
/// ("layers.0.attention.q.weight").
struct RandomStream {
  std::uint64_t key = 0;
  RandomStream(std::uint64_t seed, std::string_view purpose);

  /// Four independent words for counter `index` (and a second index, for example the step).
  std::array<std::uint32_t, 4> words(std::uint64_t index, std::uint64_t second = 0) const;
  /// Uniform in [0, 1) with 53 random bits.
  double uniform(std::uint64_t index, std::uint64_t second = 0) const;
};

/// out[i] = standard_deviation * z(first_index + i) with z standard normal (Box-Muller in double, rounded
/// once). `out` is f32 on the CPU; element i of a slice equals element first_index + i of the whole.
void fill_normal(TensorView out, const RandomStream& stream, std::uint64_t first_index,
                 double standard_deviation);

}  // namespace switchyard::kernels
